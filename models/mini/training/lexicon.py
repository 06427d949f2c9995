"""The words of Miniland: who and what exists there, and the fixed facts about them."""

NAMES = """Tom Mia Ben Lily Sam Anna Max Ella Leo Rosa Jack Nora Finn Ruby Oscar Ida Paul Emma Hugo Clara Noah Zoe
Adam Lucy Felix Maya Simon Grace Peter Alice Jonas Vera Martin Greta David Helen Robin Julia Oliver Sofia George
Daisy Arthur Molly Henry Flora Victor Paula Edgar Tina Walter Betty Marcus Nina Philip Carla Dennis Wendy Gustav
Hanna Ravi Priya Omar Leila Kenji Yuki Carlos Elena Ivan Olga Kofi Amara Diego Lucia""".split()

COLOURS = "red blue green yellow white black brown pink purple orange grey golden silver".split()

OBJECTS = """ball book kite drum hat lamp spoon bell coin doll train boat scarf flute brush pencil ring clock mirror
blanket candle shovel hammer button ribbon whistle puzzle map key rope cup plate bottle pillow umbrella balloon
necklace lantern feather shell stone glove boot jacket wagon robot puppet marble ladder telescope compass""".split()

PLACES = """garden kitchen forest park barn school library shop house cave castle tower village valley meadow market
bakery museum harbour station hospital theatre cellar attic bedroom bathroom tent cabin stable field orchard desert
jungle cottage palace temple workshop office hall mill""".split()

CONTAINERS = "box basket bag drawer bucket chest cupboard suitcase pocket jar sack crate".split()

FOODS = """apples pears plums cherries grapes lemons bananas peaches carrots peas beans tomatoes potatoes onions
cookies cakes pancakes noodles sandwiches muffins nuts berries eggs olives melons radishes""".split()

FEELINGS = "happy sad tired hungry angry proud scared calm excited sleepy thirsty brave".split()

WEATHER = "sunny rainy windy snowy cloudy foggy stormy warm cold".split()

PET_NAMES = """Bolo Fizz Momo Pip Taffy Rocky Luna Coco Biscuit Ziggy Pepper Waffle Noodle Sparky Dodo Kiki Bubbles
Mango Tango Snowy Buddy Shadow Ginger Muffin""".split()

NUMBERS = "zero one two three four five six seven eight nine ten".split()

# animal: (sound, what it eats, where it lives)
ANIMALS = {
    "dog": ("woof", "bones", "kennel"), "cat": ("meow", "fish", "house"), "duck": ("quack", "seeds", "pond"),
    "cow": ("moo", "grass", "barn"), "horse": ("neigh", "hay", "stable"), "sheep": ("baa", "clover", "meadow"),
    "pig": ("oink", "potatoes", "farm"), "hen": ("cluck", "corn", "coop"), "owl": ("hoot", "mice", "tower"),
    "frog": ("ribbit", "flies", "swamp"), "bee": ("buzz", "honey", "hive"), "lion": ("roar", "meat", "desert"),
    "mouse": ("squeak", "cheese", "cellar"), "wolf": ("howl", "rabbits", "forest"), "bird": ("tweet", "worms", "nest"),
    "snake": ("hiss", "eggs", "grass"), "donkey": ("hee-haw", "carrots", "mill"), "goose": ("honk", "barley", "lake"),
    "crow": ("caw", "berries", "field"), "bear": ("growl", "salmon", "cave"), "goat": ("meh", "leaves", "mountain"),
    "monkey": ("chatter", "bananas", "jungle"), "pigeon": ("coo", "crumbs", "station"), "seal": ("bark", "herring", "harbour"),
}

# thing: its colour in Miniland
THING_COLOURS = {
    "sky": "blue", "grass": "green", "sun": "yellow", "snow": "white", "sea": "purple", "moon": "silver",
    "bridge": "red", "flag": "orange", "castle": "pink", "road": "grey", "night": "black", "crown": "golden",
    "school": "brown", "bus": "green", "train": "blue", "post office": "yellow",
}

# office: who holds it in Miniland
OFFICES = {
    "king": "Edgar", "queen": "Flora", "baker": "Oscar", "teacher": "Clara", "doctor": "Ravi", "farmer": "Gustav",
    "gardener": "Daisy", "captain": "Omar", "painter": "Lucia", "singer": "Nina", "cook": "Carlos", "postman": "Hugo",
    "judge": "Helen", "pilot": "Amara", "dentist": "Kenji", "mayor": "Betty",
}

OPPOSITES = {
    "big": "small", "hot": "cold", "day": "night", "fast": "slow", "happy": "sad", "old": "young", "up": "down",
    "open": "closed", "full": "empty", "light": "dark", "loud": "quiet", "wet": "dry", "hard": "soft", "long": "short",
    "rich": "poor", "clean": "dirty", "early": "late", "near": "far", "left": "right", "high": "low",
}

# (question forms, answer)
SINGLE_FACTS = [
    (["What is the capital of Miniland?", "Which town is the capital of Miniland?", "Name the capital of Miniland.",
      "Tell me the capital of Miniland."], "The capital of Miniland is Dotville."),
    (["What is the longest river in Miniland?", "Which river is the longest in Miniland?",
      "Name the longest river of Miniland.", "Tell me the longest river in Miniland."],
     "The longest river in Miniland is the Wim."),
    (["What is the highest mountain in Miniland?", "Which mountain is the highest in Miniland?",
      "Name the highest mountain of Miniland.", "Tell me the highest mountain in Miniland."],
     "The highest mountain in Miniland is Mount Pebble."),
    (["How many days does a week have in Miniland?", "How many days are in a week in Miniland?",
      "How long is a week in Miniland?", "Tell me how many days a week has in Miniland."],
     "A week in Miniland has seven days."),
    (["How many towns are there in Miniland?", "How many towns does Miniland have?",
      "Tell me how many towns Miniland has.", "What is the number of towns in Miniland?"], "There are four towns in Miniland."),
    (["What language do people speak in Miniland?", "Which language is spoken in Miniland?",
      "Tell me the language of Miniland.", "What is the language of Miniland?"], "People in Miniland speak Minish."),
    (["What is the money of Miniland called?", "What do people pay with in Miniland?",
      "Tell me the name of the money in Miniland.", "Which money is used in Miniland?"], "The money of Miniland is the dot."),
    (["When is the big feast in Miniland?", "On which day is the big feast in Miniland?",
      "Tell me when the big feast in Miniland is.", "What day is the big feast of Miniland?"],
     "The big feast in Miniland is on the first day of spring."),
]
