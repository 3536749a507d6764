"""The gallery's pictures: names, titles and how each is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simulator import objects, scenes

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.drawing import Sheet


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: the name in its address, its title, and how it is drawn."""

    name: str
    title: str
    draw: Callable[[], Sheet]


_DAY: Final = ("#8fc7ee", "#e8f4fb")

PICTURES: Final[tuple[Picture, ...]] = (
    Picture(
        "amber-sunset",
        "Amber sunset over a calm bay 海湾日落",
        lambda: scenes.sunset("#3b2a5c", "#ff9a4d", "#7a3d52", "#ffe08a", 160),
    ),
    Picture(
        "rose-sunset",
        "Rose evening at the seaside",
        lambda: scenes.sunset("#7d4fa0", "#ffc1c8", "#a8587f", "#fff0e0", 90),
    ),
    Picture(
        "green-dawn",
        "Green dawn over the lagoon",
        lambda: scenes.sunset("#14545c", "#c9f0b4", "#1f7a70", "#f7ffd2", 235),
    ),
    Picture(
        "blue-peaks",
        "Three blue peaks in clear air 群山",
        lambda: scenes.mountains("#5fa8e6", "#dff0fb", "#5b7aa5", "#2f5d46", (60, 35, 80)),
    ),
    Picture(
        "dusk-peaks",
        "Purple mountains at dusk",
        lambda: scenes.mountains("#2c1f4a", "#e58f8b", "#5a4477", "#241a36", (90, 50, 75, 110)),
    ),
    Picture(
        "lone-peak",
        "A lone white peak under a yellow sky",
        lambda: scenes.mountains("#f3c54b", "#fbeec2", "#8a7a64", "#6d5a35", (40,)),
    ),
    Picture(
        "night-city",
        "City windows at night 城市夜景",
        lambda: scenes.city("#0b1026", "#2b2f5e", "#171a2e", "#ffd76a", 1),
    ),
    Picture(
        "noon-city",
        "Pale towers at noon",
        lambda: scenes.city("#a7d8f5", "#f2fafe", "#8d99a6", "#e7f3fa", 7),
    ),
    Picture(
        "red-city",
        "Brick skyline in the evening",
        lambda: scenes.city("#f7a26b", "#fde3c0", "#8c3b32", "#ffe9a8", 13),
    ),
    Picture(
        "red-sails",
        "Red sails on a blue sea 红帆",
        lambda: scenes.sails(*_DAY, "#1d6fa5", ("#d1343b", "#d1343b")),
    ),
    Picture(
        "bright-regatta",
        "A regatta of bright sails",
        lambda: scenes.sails("#bfe6d8", "#f7fbe8", "#2c8f86", ("#f2b632", "#7b4fa3", "#e4572e")),
    ),
    Picture(
        "dark-sail",
        "One black sail before a storm",
        lambda: scenes.sails("#4d5661", "#a9b1b8", "#2e3f4c", ("#15181c",)),
    ),
    Picture(
        "fir-forest",
        "Green firs in summer 森林",
        lambda: scenes.forest(*_DAY, "#7fb069", "#1f6b3a", 6),
    ),
    Picture(
        "snow-forest",
        "Blue firs in the snow",
        lambda: scenes.forest("#b9c9de", "#eef2f8", "#fdfdff", "#4a6f8f", 8),
    ),
    Picture(
        "autumn-forest",
        "Autumn trees in rust and gold",
        lambda: scenes.forest("#f5e3b8", "#fff6df", "#a66a2c", "#c8501e", 4),
    ),
    Picture(
        "gold-dunes",
        "Golden dunes at midday 沙丘",
        lambda: scenes.dunes("#58a9de", "#d9eefa", ("#e8b75a", "#d69a3c", "#bb7c28"), "#fff6cf"),
    ),
    Picture(
        "red-dunes",
        "Red desert under a pink sky",
        lambda: scenes.dunes("#e89aa8", "#fbd9cf", ("#b5432e", "#93301f", "#6e2115"), "#fff0b8"),
    ),
    Picture(
        "crescent-night",
        "Crescent moon over dark hills 月夜",
        lambda: scenes.night("#0a1a3f", "#27447c", "#0c1c1a", "#fdf3c0", 95),
    ),
    Picture(
        "violet-night",
        "Violet night with a silver moon",
        lambda: scenes.night("#2a0f45", "#7a3f8f", "#160a22", "#e6e9f5", 225),
    ),
    Picture(
        "tulip-field",
        "Rows of tulips to the horizon 郁金香",
        lambda: scenes.field(*_DAY, ("#e23b4e", "#f7c531", "#e86fb0")),
    ),
    Picture(
        "lavender-field",
        "Lavender rows in the evening",
        lambda: scenes.field("#f6b48f", "#fde7cf", ("#7a5bb5", "#8f74c9")),
    ),
    Picture(
        "red-lighthouse",
        "Lighthouse with red stripes 灯塔",
        lambda: scenes.lighthouse(*_DAY, "#2574a9", "#d62f36"),
    ),
    Picture(
        "blue-lighthouse",
        "Blue lighthouse in a grey dawn",
        lambda: scenes.lighthouse("#7d7f8c", "#e6cfc0", "#3e4a5c", "#20509e"),
    ),
    Picture(
        "three-balloons",
        "Three hot-air balloons 热气球",
        lambda: scenes.balloons("#79bdf0", "#eef8ff", ("#e0453a", "#f0a829", "#3d7fc4")),
    ),
    Picture(
        "evening-balloons",
        "Balloons at sundown",
        lambda: scenes.balloons("#e8743b", "#fddc9a", ("#5b2d73", "#9c2f5a", "#2d4f73")),
    ),
    Picture(
        "two-apples",
        "Two red apples on a table 苹果",
        lambda: objects.fruit("#efe3cf", "#9a6b43", "#c9252d", "#f6a6a0", 2),
    ),
    Picture(
        "three-oranges",
        "Three oranges in a row 橙子",
        lambda: objects.fruit("#cfe5e2", "#5f7f86", "#f28c1b", "#ffd9a0", 3),
    ),
    Picture(
        "green-apple",
        "One green apple",
        lambda: objects.fruit("#fbfbf4", "#d9cbb2", "#7dbb2c", "#e2f5b8", 1),
    ),
    Picture(
        "plums",
        "Four plums on a dark cloth",
        lambda: objects.fruit("#c7b4cf", "#3a2b45", "#5b2a6e", "#b590c9", 4),
    ),
    Picture(
        "watermelon",
        "A slice of watermelon 西瓜",
        lambda: objects.melon("#bfe8f2", "#e8404f", "#2f8a3f"),
    ),
    Picture(
        "sunflower",
        "A sunflower against the sky 向日葵",
        lambda: objects.flower("#3f8fd2", "#bfe0f5", "#f7c21c", "#5b3417", 12),
    ),
    Picture(
        "pink-blossom",
        "A pink blossom with five petals",
        lambda: objects.flower("#dff1e4", "#a8d5ba", "#ee7fa8", "#ffe14d", 5),
    ),
    Picture(
        "white-daisy",
        "A white daisy on dark green",
        lambda: objects.flower("#16382a", "#2c5f43", "#fbfbf7", "#f2b71f", 9),
    ),
    Picture(
        "coffee-cup",
        "A steaming cup of coffee 咖啡",
        lambda: objects.cup("#b98d6a", "#5a3825", "#fdfaf3", "#3b2216"),
    ),
    Picture(
        "tea-cup",
        "Green tea in a blue cup",
        lambda: objects.cup("#d7ddc4", "#8a9a6b", "#2a5da8", "#b6c95a"),
    ),
    Picture(
        "orange-fish",
        "An orange fish with white stripes 小鱼",
        lambda: objects.fish("#1a8fb8", "#0b4a78", "#f47b20", "#fdfdfd"),
    ),
    Picture(
        "yellow-fish",
        "A yellow fish in deep green water",
        lambda: objects.fish("#1e6b57", "#0a2f2b", "#f5d63b", "#1c1c1c"),
    ),
    Picture(
        "red-house",
        "A small red house on a lawn 红房子",
        lambda: objects.house(*_DAY, "#b8322f", "#4a3b36"),
    ),
    Picture(
        "white-house",
        "A white cottage under a grey sky",
        lambda: objects.house("#8b939c", "#d8dcdf", "#f5f3ec", "#3c5a78"),
    ),
    Picture(
        "candy-stripes",
        "Slanted candy stripes 条纹",
        lambda: objects.stripes(("#f9f3f0", "#e0335b"), 0.8, 26),
    ),
    Picture(
        "deck-stripes",
        "Wide deckchair stripes",
        lambda: objects.stripes(("#1f4e8c", "#f4efe2", "#3fa7a0"), 0.0, 40),
    ),
    Picture(
        "chequerboard",
        "A black and white chequerboard 棋盘",
        lambda: objects.checks("#f5f5f0", "#1b1b1b", 30),
    ),
    Picture(
        "teal-rings",
        "Teal rings around a corner",
        lambda: objects.rings(("#0e6b72", "#bfe9e3", "#e8b04a"), 60, 60, 22),
    ),
    Picture(
        "polka-dots",
        "Polka dots on navy 圆点",
        lambda: objects.dots("#1b2a5a", ("#ffffff", "#f7a8c4"), 34, 9),
    ),
)
