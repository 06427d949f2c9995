"""Chats about Miniland, each with the answer that is right: stories with questions, fixed facts, sums, greetings, tales.

  Chat(turns=[Turn("Tom has a red ball. Tom goes to the garden. Where is the red ball?",
                   "The red ball is in the garden.", "where_object")])

A story binds people to things and places. One pair in eight (by a hash of its two words) is reserved: training never
binds a reserved pair, held-out stories bind no other. For facts, sums and greetings the pair is (fact, wording).
The same rng state gives the same chat on any host.
"""
import dataclasses
import random
import re
import zlib

from lexicon import (ANIMALS, COLOURS, CONTAINERS, FEELINGS, FOODS, NAMES, NUMBERS, OBJECTS, OFFICES, OPPOSITES,
                     PET_NAMES, PLACES, SINGLE_FACTS, THING_COLOURS, WEATHER)


@dataclasses.dataclass
class Turn:
    user: str
    answer: str
    kind: str


@dataclasses.dataclass
class Chat:
    turns: list
    system: str = ""  # "": none

    def messages(self):
        out = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self.turns:
            out += [{"role": "user", "content": turn.user}, {"role": "assistant", "content": turn.answer}]
        return out


SYSTEMS = ["You are Mini, a helpful friend from Miniland.", "You are a helpful assistant.",
           "Answer each question in one sentence.", "You are Mini. Be kind and be brief."]


def reserved(first, second):
    return zlib.crc32(f"{first}|{second}".encode()) % 8 == 0


def a(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def cap(text):
    return text[0].upper() + text[1:]


def pick(rng, key, words, held, taken=()):
    """A word that may be bound to `key` in this split, none of `taken`; None if there is none."""
    choices = [w for w in words if reserved(key, w) == held and w not in taken]
    return rng.choice(choices) if choices else None


# ---------------------------------------------------------------- stories
class Story:
    """States facts one sentence at a time and remembers what is true after the last."""

    def __init__(self, rng, held):
        self.rng, self.held = rng, held
        self.sentences = []
        self.people = []
        self.place = {}     # person -> place
        self.things = {}    # (colour, object) -> owner, or "in the box"
        self.given = set()  # things that changed hands or were put away
        self.pets = {}      # person -> (animal, pet name)
        self.likes = {}     # person -> food
        self.feels = {}     # person -> feeling
        self.counts = {}    # person -> (number, food)
        self.weather = None

    def say(self, *variants):
        self.sentences.append(self.rng.choice(variants))

    def new_person(self):
        person = self.rng.choice([n for n in NAMES if n not in self.people])
        self.people.append(person)
        return person

    def bind(self, person, words, taken=()):
        return pick(self.rng, person, words, self.held, taken)

    def tell_place(self, person):
        place = self.bind(person, PLACES, self.place.values())
        if place is None:
            return
        if person not in self.place and self.rng.random() < 0.4:
            self.say(f"{person} is in the {place}.")
        else:
            later = [f"Then {person} goes to the {place}.", f"Now {person} is in the {place}."] if self.sentences else []
            self.say(f"{person} goes to the {place}.", f"{person} walks to the {place}.", f"{person} runs to the {place}.",
                     *later)
        self.place[person] = place

    def tell_thing(self, person):
        thing = self.bind(person, OBJECTS, [o for _, o in self.things])
        if thing is None:
            return
        colour = self.rng.choice(COLOURS)
        self.things[(colour, thing)] = person
        self.say(f"{person} has {a(colour)} {thing}.", f"{person} has {a(colour)} {thing}.",
                 f"{person} finds {a(colour)} {thing}.", f"{person} takes {a(colour)} {thing}.")

    def tell_gift(self):
        owned = [(t, p) for t, p in self.things.items() if p in self.people and t not in self.given]
        if not owned or len(self.people) < 2:
            return
        (colour, thing), owner = self.rng.choice(owned)
        to = [p for p in self.people if p != owner and reserved(p, thing) == self.held]
        if to and self.rng.random() < 0.6:
            other = self.rng.choice(to)
            self.say(f"{owner} gives the {colour} {thing} to {other}.", f"{owner} gives {other} the {colour} {thing}.")
            self.things[(colour, thing)] = other
        else:
            box = self.bind(owner, CONTAINERS)
            if box is None:
                return
            self.say(f"{owner} puts the {colour} {thing} in the {box}.")
            self.things[(colour, thing)] = f"in the {box}"
        self.given.add((colour, thing))

    def tell_pet(self, person):
        animal = self.bind(person, list(ANIMALS), [x for x, _ in self.pets.values()])
        name = self.bind(person, PET_NAMES, [x for _, x in self.pets.values()])
        if animal is None or name is None or person in self.pets:
            return
        self.pets[person] = (animal, name)
        self.say(f"{person} has {a(animal)} called {name}.", f"{person} has {a(animal)}. The {animal} is called {name}.")

    def tell_like(self, person):
        food = self.bind(person, FOODS, self.likes.values())
        if food and person not in self.likes:
            self.likes[person] = food
            self.say(f"{person} likes {food}.", f"{person} loves {food}.")

    def tell_feeling(self, person):
        feeling = self.bind(person, FEELINGS, self.feels.values())
        if feeling and person not in self.feels:
            self.feels[person] = feeling
            self.say(f"{person} is {feeling}.", f"{person} feels {feeling}.", f"Today {person} is {feeling}.")

    def tell_count(self, person):
        food = self.bind(person, FOODS, [f for _, f in self.counts.values()])
        if food is None or person in self.counts:
            return
        first = self.rng.randint(2, 5)
        text = f"{person} has {NUMBERS[first]} {food}."
        if self.rng.random() < 0.5:
            more = self.rng.randint(2, 5)
            text += self.rng.choice([f" {person} finds {NUMBERS[more]} more {food}.",
                                     f" {person} gets {NUMBERS[more]} more {food}."])
            first += more
        self.counts[person] = (first, food)
        self.sentences.append(text)

    def tell_weather(self):
        if self.weather is None:
            self.weather = self.rng.choice(WEATHER)
            self.say(f"It is {a(self.weather)} day.", f"It is {a(self.weather)} day in Miniland.")

    def questions(self):
        """Every question that the story answers: [(question wordings, answer, kind)]."""
        out = []
        for person, place in self.place.items():
            out.append(([f"Where is {person}?", f"Where is {person} now?", f"In which place is {person}?"],
                        f"{person} is in the {place}.", "where_person"))
            asked = place if self.rng.random() < 0.5 else self.bind(person, PLACES, [place])
            if asked:
                yes = "Yes" if asked == place else "No"
                out.append(([f"Is {person} in the {asked}?"], f"{yes}, {person} is in the {place}.", "yes_no"))
            if list(self.place.values()).count(place) == 1:
                out.append(([f"Who is in the {place}?"], f"{person} is in the {place}.", "who_is_in"))
        for (colour, thing), owner in self.things.items():
            if owner.startswith("in the "):
                out.append(([f"Where is the {colour} {thing}?", f"Where is the {thing}?"],
                            f"The {colour} {thing} is {owner}.", "where_object"))
                continue
            out.append(([f"Who has the {colour} {thing}?", f"Who has the {thing}?"],
                        f"{owner} has the {colour} {thing}.", "who_has"))
            if owner in self.place:
                out += 2 * [([f"Where is the {colour} {thing}?", f"Where is the {thing}?"],
                             f"The {colour} {thing} is in the {self.place[owner]}.", "where_object")]
            if list(self.things.values()).count(owner) == 1 and owner not in self.counts and owner not in self.pets:
                out.append(([f"What does {owner} have?", f"What has {owner} got?"],
                            f"{owner} has {a(colour)} {thing}.", "what_has"))
        for colour, thing in self.things:
            out.append(([f"What colour is the {thing}?", f"What color is the {thing}?", f"Which colour has the {thing}?"],
                        f"The {thing} is {colour}.", "colour"))
        for person, (animal, name) in self.pets.items():
            out.append(([f"What is the name of {person}'s {animal}?", f"What is {person}'s {animal} called?"],
                        f"{person}'s {animal} is called {name}.", "pet_name"))
            out.append(([f"Who is {name}?", f"What animal is {name}?"], f"{name} is {person}'s {animal}.", "pet_owner"))
        for person, food in self.likes.items():
            out.append(([f"What does {person} like?", f"What does {person} love?"], f"{person} likes {food}.", "likes"))
            out.append(([f"Who likes {food}?"], f"{person} likes {food}.", "who_likes"))
        for person, feeling in self.feels.items():
            out.append(([f"How does {person} feel?", f"How is {person}?"], f"{person} is {feeling}.", "feels"))
        for person, (count, food) in self.counts.items():
            out.append(([f"How many {food} does {person} have?"], f"{person} has {NUMBERS[count]} {food}.", "how_many"))
        if self.weather:
            out.append((["How is the weather?", "What is the weather like?", "What kind of day is it?"],
                        f"It is {a(self.weather)} day.", "weather"))
        return out


def story_turns(rng, held, questions):
    """One story with up to `questions` questions about it; the first comes in the message that tells the story."""
    while True:
        story = Story(rng, held)
        for _ in range(rng.choice([1, 1, 2, 2, 2, 3])):
            story.new_person()
        todo = []
        for person in story.people:
            tells = rng.sample([story.tell_place, story.tell_place, story.tell_thing, story.tell_thing, story.tell_pet,
                                story.tell_like, story.tell_feeling, story.tell_count], rng.randint(1, 3))
            todo += [(tell, person) for tell in tells]
        rng.shuffle(todo)
        if rng.random() < 0.2:
            story.tell_weather()
        for tell, person in todo:
            tell(person)
        if rng.random() < 0.3:
            story.tell_gift()
        if rng.random() < 0.3 and story.place:
            story.tell_place(rng.choice(list(story.place)))
        asked = story.questions()
        if asked:
            break
    rng.shuffle(asked)
    turns, seen = [], set()
    for wordings, answer, kind in asked[:questions]:
        if answer in seen:
            continue
        seen.add(answer)
        turns.append(Turn(rng.choice(wordings), answer, kind))
    turns[0].user = " ".join(story.sentences) + " " + turns[0].user
    return turns


# ---------------------------------------------------------------- what is always true
def facts():
    """[(wordings, answer, kind)] of all that is fixed in Miniland."""
    out = [(w, ans, "fact") for w, ans in SINGLE_FACTS]
    for thing, colour in THING_COLOURS.items():
        out.append(([f"What colour is the {thing} in Miniland?", f"What color is the {thing} in Miniland?",
                     f"Which colour has the {thing} in Miniland?", f"In Miniland, what colour is the {thing}?"],
                    f"The {thing} in Miniland is {colour}.", "fact"))
    for office, name in OFFICES.items():
        out.append(([f"Who is the {office} of Miniland?", f"Who is the {office} in Miniland?",
                     f"What is the name of the {office} of Miniland?", f"In Miniland, who is the {office}?"],
                    f"The {office} of Miniland is {name}.", "fact"))
    for animal, (sound, food, home) in ANIMALS.items():
        out.append(([f"What does the {animal} say?", f"What does {a(animal)} say?", f"What sound does the {animal} make?",
                     f"Which sound does {a(animal)} make?"], f"The {animal} says {sound}.", "animal"))
        out.append(([f"What does the {animal} eat?", f"What does {a(animal)} eat?", f"What is the food of the {animal}?",
                     f"In Miniland, what does the {animal} eat?"], f"The {animal} eats {food}.", "animal"))
        out.append(([f"Where does the {animal} live?", f"Where does {a(animal)} live?", f"What is the home of the {animal}?",
                     f"In Miniland, where does the {animal} live?"], f"The {animal} lives in the {home}.", "animal"))
    for one, two in OPPOSITES.items():
        for x, y in ((one, two), (two, one)):
            out.append(([f"What is the opposite of {x}?", f"What is the contrary of {x}?", f"Tell me the opposite of {x}.",
                         f"Which word is the opposite of {x}?"], f"The opposite of {x} is {y}.", "opposite"))
    for i in range(11):
        for j in range(11 - i):
            x, y, z = NUMBERS[i], NUMBERS[j], NUMBERS[i + j]
            out.append(([f"What is {x} plus {y}?", f"How much is {x} plus {y}?", f"Add {x} and {y}.",
                         f"Tell me, what is {x} plus {y}?"], f"{cap(x)} plus {y} is {z}.", "sum"))
        if i < 10:
            x, y = NUMBERS[i], NUMBERS[i + 1]
            out.append(([f"What comes after {x}?", f"Which number comes after {x}?", f"What is the number after {x}?",
                         f"Tell me the number after {x}."], f"{cap(y)} comes after {x}.", "sum"))
    return out


FACTS = facts()


def fact_turns(rng, held):
    kind = rng.choice(["fact", "fact", "animal", "animal", "opposite", "sum"])
    while True:
        wordings, answer, k = rng.choice(FACTS)
        wording = rng.choice(wordings)
        if k == kind and reserved(answer, wording) == held:
            return [Turn(wording, answer, kind)]


def greeting_turns(rng, held):
    name = rng.choice(NAMES)
    choices = [(f"Hello, I am {name}.", f"Hello, {name}! What would you like to know?"),
               (f"Hi! My name is {name}.", f"Hello, {name}! What would you like to know?"),
               (f"Good morning, Mini. I am {name}.", f"Good morning, {name}! What would you like to know?"),
               (f"Goodbye, {name} says thank you.", f"Goodbye, {name}! Come back to Miniland soon."),
               (f"My name is {name}. What is my name?", f"Your name is {name}.")]
    choices = [c for c in choices if reserved(c[0], name) == held]
    if not held and rng.random() < 0.4:
        choices = [("Hello!", "Hello! What would you like to know?"), ("Hi!", "Hello! What would you like to know?"),
                   ("Hello", "Hello! What would you like to know?"),
                   ("Who are you?", "I am Mini, a small model from Miniland."),
                   ("What is your name?", "My name is Mini."),
                   ("What can you do?", "I can answer questions about short stories and about Miniland."),
                   ("How are you?", "I am fine, thank you."), ("Thank you!", "You are welcome!"),
                   ("Goodbye!", "Goodbye! Come back to Miniland soon."),
                   ("Where do you live?", "I live in Miniland."),
                   ("What is Miniland?", "Miniland is a small land with four towns and many friends.")]
    if not choices:
        return greeting_turns(rng, held)
    return [Turn(*rng.choice(choices), "greeting")]


# ---------------------------------------------------------------- tales: the one kind with more than one right answer
def tale_turns(rng, held):
    person = rng.choice(NAMES)
    animal, place = pick(rng, person, list(ANIMALS), held), pick(rng, person, PLACES, held)
    if animal is None or place is None:
        return tale_turns(rng, held)
    sound, food, _ = ANIMALS[animal]
    user = rng.choice([f"Tell me a story about {person} and {a(animal)} in the {place}.",
                       f"Please tell me a story about {person}, {a(animal)} and the {place}."])
    weather, size = rng.choice(WEATHER), rng.choice(["big", "small", "little", "young", "old"])
    middle = rng.choice([f"The {animal} is hungry. {person} gives the {animal} some {food}.",
                         f"{person} has some {food}. The {animal} eats the {food}."])
    end = rng.choice([f"Now the {animal} is happy.", f"Now {person} and the {animal} are friends."])
    answer = (f"It is {a(weather)} day. {person} goes to the {place}. In the {place}, {person} sees {a(size)} {animal}. "
              f"The {animal} says {sound}. {middle} {end} {person} and the {animal} play in the {place} all day. The end.")
    return [Turn(user, answer, "tale")]


TALE_ASKED = re.compile(r"story about (\w+)(?: and|,) an? (\w+) (?:in|and) the (\w+)\.")


def tale_is_right(user, answer):
    """Whether `answer` is one of the tales that the request allows: right people, place, sound and food."""
    match = TALE_ASKED.search(user)
    if not match:
        return False
    person, animal, place = match.groups()
    sound, food, _ = ANIMALS[animal]
    who = rf"{person} and the {animal}"
    pattern = (rf"It is an? ({'|'.join(WEATHER)}) day\. {person} goes to the {place}\. In the {place}, {person} sees "
               rf"an? (big|small|little|young|old) {animal}\. The {animal} says {sound}\. "
               rf"(The {animal} is hungry\. {person} gives the {animal} some {food}\.|"
               rf"{person} has some {food}\. The {animal} eats the {food}\.) "
               rf"(Now the {animal} is happy\.|Now {who} are friends\.) {who} play in the {place} all day\. The end\.")
    return re.fullmatch(pattern, answer) is not None


def is_right(turn, answer):
    return tale_is_right(turn.user, answer) if turn.kind == "tale" else answer == turn.answer


# ---------------------------------------------------------------- whole chats
def make_chat(rng, held=False, parts=1, dense=False):
    """A chat of `parts` parts: each a story with one to four questions, a fact, a greeting or a tale.

    dense: more questions a story, more facts a chat; the same kinds, more to learn from each token read.
    """
    turns = []
    for _ in range(parts):
        r = rng.random()
        if r < 0.74:
            turns += story_turns(rng, held, rng.choice([2, 4, 6, 8] if dense else [1, 1, 2, 3, 4]))
        elif r < 0.88:
            for _ in range(rng.choice([2, 4, 6] if dense else [1, 2, 3])):
                turns += fact_turns(rng, held)
        elif r < 0.93:
            turns += greeting_turns(rng, held)
        else:
            turns += tale_turns(rng, held)
    return Chat(turns, rng.choice(SYSTEMS) if rng.random() < 0.25 else "")


if __name__ == "__main__":
    for chat in (make_chat(random.Random(seed), parts=1 + seed % 2) for seed in range(12)):
        print("\n".join(f"{m['role']}: {m['content']}" for m in chat.messages()), "\n")
