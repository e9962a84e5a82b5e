"""English sentences for synthetic speech, drawn from templates and word lists written for it."""

from __future__ import annotations

import re

import numpy as np

__all__ = ["sentence", "vocabulary"]

# Slots in braces name the lists below; an underscore stands for a space within a choice.
_TEMPLATES = """
The {adjective} {noun} {past} the {noun} {place}.
{name} {past} {number} {adjective} {nouns} {time}.
Why did {name} {verb} the {noun} {adverb}?
{time}, the {nouns} were {adjective} and {adjective}.
Please {verb} that {noun} before you {verb} the {noun}.
{name} and {name} {adverb} {past} their {adjective} {noun}.
Nobody {past} the {nouns} {place}, although it was {adjective}.
I would rather {verb} a {adjective} {noun} than {verb} your {nouns}.
Could they {verb} {number} {nouns} {place} {time}?
There is a {adjective} {noun} and a {adjective} {noun} {place}.
She {adverb} {past} this {noun}, but he {past} those {nouns}.
How many {nouns} can {name} {verb} {time}?
Don't {verb} the {adjective} {noun} until {name} has gone.
If the {noun} looks {adjective}, we should {verb} it {adverb}.
You may {verb} either the {noun} or the {nouns}.
Their {noun} was more {adjective} than {name} thought.
{number} {nouns} and {number} {nouns} make a {adjective} {noun}.
Whoever {past} my {noun} should {verb} it {time}.
He is {gerund} a {adjective} {noun} with {name}.
{gerund} {nouns} {place} is a {adjective} {noun}.
It takes {number} hours to {verb} the {noun} {place}.
Has anyone {past} the {adjective} {nouns} yet?
What a {adjective} {noun}!
The {noun} of the {noun} is {adverb} {adjective}.
{name} was {gerund} while the {nouns} {past} them {place}.
We watched how {name} {past} the {noun}, {gerund} and {gerund}.
A {reduced} {glottal} was {glottalised} {place}.
The camera of {name} was {glottalised}, the {glottal} {reduced}.
"""

_LISTS = {
    "adjective": """
        able angry awful azure beige big bitter black blue brave bright bitten broken brown calm casual comfortable
        cheap clean clever cloudy cold cool crazy cruel curious curly damp dark deep dirty dull eager
        early easy empty enormous fair famous favourite fancy fast foggy foolish fresh friendly full funny
        gentle giant glad golden good grey happy harsh heavy hollow honest huge humble hungry icy
        jolly juicy keen kind large late lazy little lonely long memorable loud lovely low loyal lucky mild miserable
        modern mute narrow nasty new noisy odd old pale patient pink plain pleasant polite poor
        proud pure purple quick quiet rare raw ready rich ripe rough round rotten royal rude rusty sad
        salty separate sharp shiny short shy silent silver simple slim slow small smooth soft sour spoiled
        square steep strange strong stupid sudden sunny sure sweet tall tame thick thin thirsty
        tidy tiny tired tough true ugly unusual urgent vague vast visual vivid warm weak weird wet
        white whole wide wild wise wooden written yellow young youthful zealous
    """,
    "noun": """
        age anchor answer apple arch arm arrow author autumn baby badge badger bath battle beach
        beard bell bird blood boat body book bottle bowl box boy branch bread breath bridge brother
        brush bucket bush button butter cabbage camel camera candle carpet castle cathedral chair
        cheese cherry church cinnamon city cloth cloud coach coffee coin collision corner cotton
        cough couch country cousin cow crown cushion daughter decision dentist desk dinner doctor
        dog donkey door dragon dream drum duck dust eagle ear earth edge egg elbow elephant engine
        envelope eye face farm father feather fever field finger fire fish flag flower fog foot
        forest fork fountain fox friend frog fruit fur garage garden gate ghost giraffe girl glass
        glove goat goose grandfather grass guest guitar hammer hand harbour hat head heart hill
        hood hook horse house husband idea ink insect iron island jacket jail jar jewel journey joy
        judge juice jungle kettle key king kitchen kite kitten knee knife ladder lady lake lamp
        language leather leaf leg lemon letter library lion lizard lobster lunch machine magazine
        magic map marble market measure meat medal message milk mirror money mitten monkey moon morning
        moth mother mountain mouse mouth music mustard napkin neck needle nephew nest noise nose
        notebook nurse oath ocean office oil onion orange orchard owl oyster page paint palace panda
        paper parrot path peach pencil penguin pepper picture pigeon pillow pilot pine pipe plate
        pleasure pocket poem poet poison police pond potato powder prince puppy purse puzzle queen
        question rabbit radio rain rhythm ribbon rice ring river road robin roof room rope rose ruler
        salad sandwich scarf school scissors sea season shadow shark sheep sheriff shirt shoe
        shoulder silk singer sister sky snail snake soap sock soldier song soup sparrow spider spoon
        stable star station stitch stone story stove street sugar suit sun sunrise table tail tailor
        teacher television temple tent theatre thief thing thread throat thumb thunder ticket tiger
        tooth towel tower toy train treasure tree trouble truck tunnel turtle uncle valley vase
        vegetable velvet village vinegar violin vision voice voyage wagon walnut wasp watch water
        wave weather whale wheel whistle widow wife window wing winter witch witness wolf woman wood
        wool world worm wreath yacht yard yogurt zebra zoo
    """,
    "nouns": """
        acrobats actors ages apricots artists ashes axes bananas bandages beavers beds beetles
        benches berries bicycles birthdays biscuits blankets boulders bowls boxes breezes bruises
        buildings bulbs bushes butchers buttons cages canyons cards carrots catches cells chairs
        changes chapters chickens children chimneys chores cliffs clothes clouds clowns cobblers
        colours combs cookies corals cottages crabs cradles crayons cups curtains dances deserts
        diamonds dishes divisions dollars dolphins drawers dresses eagles earrings echoes engineers
        errors explosions farmers fathers fences figures firemen fishermen flutes foxes gardens
        gazelles geese gloves grapes guards hawks hedges helmets hills hinges hooves hotels hunters
        illusions islands jackals jesters journals judges kangaroos keys lambs lanterns lawyers
        leaves lessons lions lobsters machines matches measures melons memories merchants messages
        mittens monkeys months moths nails neighbours noises numbers oceans onions orchids otters
        oxen painters pages pears pebbles pictures pillows pirates pitchers plums ponies porches
        potters puddles quarrels questions quilts rabbits ravens rings rivers robes rockets roses
        sailors saucers scholars seals shells sheriffs ships shoes shops shovels sisters sketches
        skirts smiths songs spices squirrels stairs stitches stories strangers swings swords tables
        tailors teachers teeth thieves things thorns toads tomatoes toys treasures trees trumpets
        turnips uncles usurers vases vegetables villages visions voices vultures wages watches
        weavers wheels whiskers wishes wolves women worms wrenches yachts zippers
    """,
    "past": """
        accused admired adored answered asked baked bathed  begged blamed bought brought brushed
        buried called carried caught changed chased cheated checked chose cleaned climbed
        collected coloured counted covered crossed crushed decorated described discovered divided
        dragged drew dropped enjoyed escorted examined exchanged fed fetched filled finished fixed
        followed forgot found gathered greeted guarded guided hated heard held helped hugged
        hurried ignored imagined invited joined judged kept kicked kissed knew labelled laughed_at
        learned left lifted liked loved managed measured melted mentioned missed mixed moved
        named needed noticed obeyed offered opened ordered owned packed painted paid photographed
        picked planted played pleased praised pulled punished pushed questioned reached remembered
        rescued returned rubbed saved scratched sewed shook showed sketched smelled soothed sold
        squeezed stole studied surprised taught teased thanked threw touched tried trusted turned
        used visited washed watched weighed welcomed whipped wished_for wrapped
    """,
    "verb": """
        admire adjust allow avoid bathe believe frighten bless borrow break breathe_on bring build burn buy
        carve change choose chop clutch compare confuse cook copy count crush cure deliver destroy
        discuss draw drive dye employ enjoy erase excuse explore feed fetch find fold forgive fry
        furnish gather give glue grow guess hang hide hurt imitate imagine improve invite join juggle
        keep know lend like load lock look_at lose love manage measure mend move nudge observe open
        order oversee pass peel photograph pinch play polish pour push put_on question raise reach
        read refuse repair rinse roast ruin save scrub search see seize serve shake shorten share shave
        shout_at show sing_to sketch slice smell smooth sniff soak spoil spread stir strike sweep
        switch take taste teach tear thank throw tie tighten touch trade turn twist understand use utter
        visit wash watch wear weigh wipe wrap write yawn_at
    """,
    "gerund": """
        arguing asking baking begging biking breathing building buying carrying catching changing
        chewing choosing climbing coughing crying dancing digging diving drawing drinking dropping
        drying dusting earning eating fishing flying folding frying gathering giggling growing
        hiding hopping hunting joking juggling jumping kicking knitting laughing learning leaving
        lighting losing mending mixing moving nodding noticing opening packing painting paying
        planting playing pouring pulling pushing putting reading resting riding rowing running
        sailing selling sewing sharing shaving shouting singing sitting sleeping smiling smoothing
        sneezing sobbing swimming talking teaching thinking throwing touching typing using voting
        waiting walking washing watching weaving winning working writing yawning yelling
    """,
    "adverb": """
        absolutely again always angrily badly barely boldly briefly brightly calmly casually
        cautiously clearly closely cruelly easily eagerly exactly fairly finally foolishly fully
        gently gladly happily hardly honestly hourly joyfully kindly lately loosely loudly mostly
        naturally nearly neatly never nicely occasionally often openly otherwise partly patiently
        politely poorly purely quickly quietly rarely really roughly royally sadly seldom sharply
        simply slowly smoothly softly sometimes soon suddenly surely swiftly thoroughly together
        truly separately usually utterly vaguely warmly wisely yearly zealously
    """,
    "name": """
        Abigail Adam Agatha Albert Alice Amanda Andrew Anthony Arthur Barbara Beth Boyd Bridget
        Bruce Carol Charles Charlotte Chloe Claire Clyde Cynthia Daisy Daniel Deborah Dorothy Doug
        Edith Edward Eleanor Ethan Evelyn Faith Felix Floyd Frances Fred Gail George Grace Greg
        Hannah Harold Heather Helen Howard Hugh Hugo Ian Ingrid Irene Jacob James Jasmine Jeremy
        John Joyce Judith Julia Karen Keith Kenneth Laura Leo Lloyd Louise Lucy Luke Margaret Martha
        Matthew Maya Michael Miriam Nathan Nigel Nora Oliver Oscar Owen Patrick Paula Peggy Philip
        Quentin Rachel Ralph Rebecca Roger Roy Ruth Sandra Sarah Sean Sheila Simon Sophie Steven
        Susan Sylvia Theodore Thomas Timothy Tracy Troy Ursula Vera Victor Vivian Walter Wendy
        William Yolanda Yvonne Zachary Zoe
    """,
    # Without the next three, q, en and ax-h would hardly ever be heard.
    "glottal": "button kitten mitten cotton_curtain",
    "glottalised": "beaten bitten eaten forgotten frightened rotten shortened tightened written",
    "reduced": "favourite miserable separate",
    "number": """
        two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
        sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
        several a_hundred a_thousand a_dozen few both most
    """,
}

# Phrases of more than one word, split at commas.
_PHRASES = {
    "place": """
        in the garage, under the bridge, near the harbour, behind the church, on the beach,
        at the airport, beside the fountain, above the clouds, below the surface, across the river,
        inside the cave, outside the village, along the shore, between the houses, by the fire,
        at the zoo, in the bathroom, on the mountain, among the reeds, around the corner,
        beyond the valley, in North Asia, through the southern gate, over the hedge, at school,
        in the kitchen, on the roof, within the castle yard, against the wall, toward the forest,
        upon the wooden table, underneath the azure sky, in your vicinity, off the coast,
        next to the theatre, in a large brown envelope, at the edge of the earth, down the hill
    """,
    "time": """
        today, tomorrow, yesterday, last Thursday, next Tuesday, on Wednesday, every Saturday, at noon,
        at midnight, in January, in July, this year, this autumn, in the evening, before breakfast,
        after lunch, during the show, at dawn, for a month, for weeks, all day long, once more,
        from time to time, on her birthday, in her youth, just now, five hours ago, at sunrise,
        in early March, late in August, in the seventh year, by and by, within a minute,
        since childhood, on occasion, at leisure, as usual, before the storm, throughout the voyage
    """,
}

_CHOICES: dict[str, list[str]] = {
    **{kind: [word.replace("_", " ") for word in text.split()] for kind, text in _LISTS.items()},
    **{
        kind: [" ".join(part.split()) for part in text.split(",")]
        for kind, text in _PHRASES.items()
    },
}
_SENTENCES = [line.strip() for line in _TEMPLATES.strip().splitlines()]
_SLOT = re.compile(r"\{(\w+)\}")


def sentence(generator: np.random.Generator) -> str:
    """Draw a sentence: a template, and a word for each of its slots, all equally likely.

    Args:
        generator: The only source of chance.

    Example:
        >>> sentence(np.random.default_rng(0))
        'The poet of the morning is foolishly good.'
    """

    def word(slot: re.Match[str]) -> str:
        choices = _CHOICES[slot[1]]
        return choices[generator.integers(len(choices))]

    text = _SLOT.sub(word, _SENTENCES[generator.integers(len(_SENTENCES))])
    return text[0].upper() + text[1:]


def vocabulary() -> list[str]:
    """All words and phrases that may fill a slot, each once."""
    return sorted({choice for choices in _CHOICES.values() for choice in choices})
