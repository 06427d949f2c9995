"""Mutants of modules, and edits that change nothing: text in, text out.

    for name, mutate in MUTANTS.items():
        made = mutate(shop, rng)        # (lines, passes still to run, what was done), or None where it cannot be done

A mutant is another model, whatever the layout. A benign edit leaves every bit as it was: no checker may refuse it.
"""

import re

from module_edits import OTHER_PASSES, label, operations, put

RESULT = re.compile(r"^\s*(%\w+)(?::(\d+))? = ")
OPERAND = re.compile(r"%\w+(?:#\d+)?")


def type_list(line):
    """(operand types, result types) of an operation as printed: "(...) -> ..."; weights and inputs have none."""
    found = re.search(r" : \((.*)\) -> (.*)$", line)
    if not found:
        return [], re.findall(r"<\[.*?>", line.rpartition(" : ")[2])
    cut = re.compile(r"!mrs\.tensor<\[[^\]]*\][^!]*?(?:!mrs\.candidates<\d+>)?[^!]*?>(?=,|\)|$)")
    return cut.findall(found.group(1)), cut.findall(found.group(2))


def values_before(lines):
    """For each line: {type: values of it that are defined before}, of results that operations (not weights) have."""
    known, before = {}, []
    for line in lines:
        if "func.func" in line:  # names are a program's own
            known = {}
        before.append({type_: list(names) for type_, names in known.items()})
        result = RESULT.match(line)
        if not result or 'mrs.weight "' in line or "mrs.input" in line:
            continue
        types = type_list(line)[1]
        names = [result.group(1)] if not result.group(2) else [f"{result.group(1)}#{n}" for n in range(len(types))]
        for name, type_ in zip(names, types):
            known.setdefault(type_, []).append(name)
    return before


def rewire(shop, rng):
    """One operand becomes another value of its type."""
    lines, before = list(shop.early), values_before(shop.early)
    for at in rng.sample(operations(lines), len(operations(lines))):
        if any(word in lines[at] for word in ("mrs.weight", "mrs.input", "mrs.output", "mrs.kv_append", "mrs.all_")):
            continue
        head = lines[at].partition(" {")[0]
        start = head.index('"', head.index('"') + 1)
        uses = [m for m in OPERAND.finditer(lines[at], start, len(head))]
        types = type_list(lines[at])[0]
        choices = [(use, other) for use, type_ in zip(uses, types) for other in before[at].get(type_, [])]
        choices = [(use, other) for use, other in choices if use.group() != other]
        if not choices:
            continue
        use, other = rng.choice(choices)
        lines[at] = put(lines[at], use, other)
        return lines, OTHER_PASSES, f"{label(lines[at])}: reads {other} for {use.group()}"
    return None


def two_weights(lines, rng):
    """Two drawn weights of tensors of one shape, as line numbers."""
    of_shape = {}
    for at, line in enumerate(lines):
        if 'mrs.weight "' not in line:
            continue
        shape = tuple(re.search(rf"sources = \[.*?\b{key} = (\S+)", line).group(1) for key in ("columns", "rows"))
        of_shape.setdefault(shape, []).append(at)
    groups = [group for group in of_shape.values() if len(group) > 1]
    return rng.sample(rng.choice(groups), 2) if groups else None


def exchange(pattern):
    """A mutant in which the sources of two weights exchange what `pattern` finds in them."""

    def mutate(shop, rng):
        lines = list(shop.final)
        pair = two_weights(lines, rng)
        if not pair:
            return None
        first, second = (re.search(pattern, lines[at]) for at in pair)
        if first.group() == second.group():  # two stages' copies of one weight
            return None
        lines[pair[0]] = put(lines[pair[0]], first, second.group())
        lines[pair[1]] = put(lines[pair[1]], second, first.group())
        return lines, (), f"{label(lines[pair[0]])} and {label(lines[pair[1]])}: {pattern.split(' ')[0]} exchanged"

    return mutate


def other_number(pattern, change, everywhere=False):
    """A mutant in which the number that group 1 of `pattern` finds, in one drawn line or in all, becomes another."""

    def mutate(shop, rng):
        lines = list(shop.final)
        hits = [at for at, line in enumerate(lines) if re.search(pattern, line)]
        if not hits:
            return None
        for at in hits if everywhere else [rng.choice(hits)]:
            found = rng.choice(list(re.finditer(pattern, lines[at])))
            new = change(found.group(1))
            lines[at] = lines[at][: found.start(1)] + new + lines[at][found.end(1) :]
            what = f"{found.group()[:60]} -> {new}"
        return lines, (), what

    return mutate


def results_exchanged(*products):
    """A mutant in which who reads one result of a fused product reads another of the same type."""

    def mutate(shop, rng):
        lines = list(shop.final)
        hits = [at for at, line in enumerate(lines) if all(word in line for word in products) and "mrs.matmul" in line]
        if not hits:
            return None
        at = rng.choice(hits)
        result = RESULT.match(lines[at]).group(1)
        first, second = sorted(label(lines[at]).index(word) for word in products)
        a, b = (label(lines[at])[:place].count("+") for place in (first, second))
        swapped = {f"{result}#{a}": f"{result}#{b}", f"{result}#{b}": f"{result}#{a}"}
        for user in range(at + 1, end_of_program(lines, at)):
            lines[user] = OPERAND.sub(lambda m: swapped.get(m.group(), m.group()), lines[user])
        return lines, (), f"{label(lines[at])}: results {a} and {b} exchanged"

    return mutate


def end_of_program(lines, at):
    """Past the program that the line is in; another stage's has names of its own."""
    return next((n for n in range(at, len(lines)) if "func.func" in lines[n]), len(lines))


def add_reads_twice(shop, rng):
    lines = list(shop.early)
    at = rng.choice([at for at in operations(lines) if "mrs.add " in lines[at]])
    first, second = OPERAND.findall(lines[at].partition(" = ")[2])[:2]
    keep = rng.choice((first, second))
    lines[at] = lines[at].replace(f'" {first}, {second}', f'" {keep}, {keep}')
    return lines, OTHER_PASSES, f"{label(lines[at])}: reads {keep} twice"


def reduce_dropped(shop, rng):
    """The partial sum is called a whole one wherever it stands, and its all-reduce is left out."""
    lines = list(shop.early)
    hits = [at for at in operations(lines) if "mrs.all_reduce" in lines[at]]
    if not hits:
        return None
    at = rng.choice(hits)
    whole, partial = RESULT.match(lines[at]).group(1), OPERAND.findall(lines[at].partition(" = ")[2])[0]
    what = f"{label(lines[at])}: left out"
    product = next(n for n in range(at, -1, -1) if RESULT.match(lines[n]) and RESULT.match(lines[n]).group(1) == partial)
    lines[product] = lines[product].replace(", partial{tp}>", ">")
    for user in range(at + 1, end_of_program(lines, at)):
        lines[user] = OPERAND.sub(lambda m: partial if m.group() == whole else m.group(), lines[user])
    del lines[at]
    return lines, OTHER_PASSES, what


def plus_one(text):
    return str(int(text) + 1)


def doubled(text):
    return f"{float(text) * 2:e}"


MUTANTS = {
    "operand_rewired": rewire,
    "offsets_exchanged": exchange(r"offset = \d+ : i64, rows"),
    "names_exchanged": exchange(r'tensor = "[^"]*"'),
    "tensors_exchanged": exchange(r"(?<=sources = \[\{).*?(?=\}\])"),
    "offset": other_number(r"\boffset = (\d+) : i64", plus_one),
    "eps": other_number(r"\beps = (\S+) : f32", doubled),
    "eps_everywhere": other_number(r"\beps = (\S+) : f32", doubled, everywhere=True),
    "scale": other_number(r"\bscale = (\S+) : f32", doubled),
    "scale_everywhere": other_number(r"\bscale = (\S+) : f32", doubled, everywhere=True),
    "chain": other_number(r'mrs\.chain = "(\w+)"', lambda old: "block32" if old == "pair2" else "pair2"),
    "inv_freq": other_number(r"inv_freq = array<f32: (?:\S+, )*?(\d\.\S+?)[,>]", doubled),
    "attention_factor": other_number(r"attention_factor = (\S+) : f32", doubled),
    "eos": other_number(r"\beos = array<i32: (?:\d+, )*?(\d+)[,>]", plus_one),
    "bos": other_number(r"\bbos = (-?\d+) : i64", plus_one),
    "temperature": other_number(r"\btemperature = (\S+) : f32", lambda old: f"{float(old) + 0.25:e}"),
    "top_p": other_number(r"\btop_p = (\S+) : f32", lambda old: f"{float(old) / 2:e}"),
    "vocab_valid": other_number(r"\bvocab_valid = (\d+) : i64", lambda old: str(int(old) - 1), everywhere=True),
    "window_everywhere": other_number(r"\bwindow = (\d+) : i64", plus_one, everywhere=True),
    "soft_cap": other_number(r"\bsoft_cap = (\S+) : f32", doubled),
    "cap": other_number(r"(?<=[{ ])cap = (\S+) : f32", doubled),
    "factor": other_number(r"\bfactor = (\S+) : f32", doubled),
    "beta": other_number(r"\bbeta = (\S+) : f32", doubled),
    "original": other_number(r"\boriginal = (\d+) : i64", plus_one),
    "approximate": other_number(r"\bapproximate = (true|false)", lambda old: "false" if old == "true" else "true"),
    "interleaved": other_number(r"\binterleaved = (true)", lambda _: "false"),
    "row_begin": other_number(r"\brow_begin = (\d+) : i64", plus_one),
    "transform_dropped": other_number(r'(, transform = "add_one")', lambda _: ""),
    "kv_exchanged": results_exchanged("k_proj", "v_proj"),
    "gate_up_exchanged": results_exchanged("gate_proj", "up_proj"),
    "add_reads_twice": add_reads_twice,
    "all_reduce_dropped": reduce_dropped,
}


# ---- Edits that change no bit.


def renamed(lines, rng):
    at = rng.choice([at for at in operations(lines) if not re.search(r"mrs\.(in|out)put ", lines[at])])
    name = re.search(r'"([^"]*)"', lines[at]).group(1)
    lines[at] = lines[at].replace(f'"{name}"', f'"{name} {rng.randrange(1000)}"', 1)


def other_algorithm(lines, rng):
    hits = [at for at in operations(lines) if "mrs.all_reduce" in lines[at]]
    if hits:
        at = rng.choice(hits)
        lines[at] = re.sub(r'algorithm = "\w+"', f'algorithm = "{rng.choice(ALGORITHMS)}"', lines[at])


def neighbours(lines, rng):
    """Two operations of which the second does not read the first change places."""
    for at in rng.sample(operations(lines), len(operations(lines))):
        if at + 1 >= len(lines) or not RESULT.match(lines[at + 1]) or "mrs.kv_append" in lines[at] + lines[at + 1]:
            continue
        result = RESULT.match(lines[at]).group(1) if RESULT.match(lines[at]) else None
        if result and result not in (
            use.partition("#")[0] for use in OPERAND.findall(lines[at + 1].partition(" = ")[2])
        ):
            lines[at], lines[at + 1] = lines[at + 1], lines[at]
            return


def exchanged_sum(lines, rng):
    """a + b is b + a."""
    hits = [at for at in operations(lines) if "mrs.add " in lines[at]]
    at = rng.choice(hits)
    first, second = OPERAND.findall(lines[at].partition(" = ")[2])[:2]
    lines[at] = lines[at].replace(f'" {first}, {second}', f'" {second}, {first}')


ALGORITHMS = ("doubling", "halving_doubling", "gather_add")
OPTIONAL = ("--mrs-fuse", "--mrs-in-place")


def benign(shop, rng):
    """A module of the same bits: (lines, passes still to run, what was done)."""
    lines, done = list(shop.early), []
    for change in rng.choices((renamed, other_algorithm, neighbours, exchanged_sum), k=rng.randrange(1, 6)):
        change(lines, rng)
        done.append(change.__name__)
    left_out = [name for name in OPTIONAL if rng.random() < 0.3]
    return (
        lines,
        [name for name in OTHER_PASSES if name not in left_out],
        ", ".join(done + [f"no {n[2:]}" for n in left_out]),
    )
