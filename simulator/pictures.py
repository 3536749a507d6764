"""The gallery's pictures: names, titles, and what is drawn in which colours."""

import io
from dataclasses import dataclass
from typing import Final

from simulator.drawing import draw

# name | title | motif, its number, the background from top to bottom, two colours
_TABLE: Final = """
amber-sunset | Amber sunset over a calm bay 海湾日落 | sunset 320 #3b2a5c #ff9a4d #7a3d52 #ffe08a
rose-sunset | Rose evening at the seaside | sunset 180 #7d4fa0 #ffc1c8 #a8587f #fff0e0
green-dawn | Green dawn over the lagoon | sunset 470 #14545c #c9f0b4 #1f7a70 #f7ffd2
blue-peaks | Three blue peaks in clear air 群山 | mountains 3 #5fa8e6 #dff0fb #5b7aa5 #2f5d46
dusk-peaks | Purple mountains at dusk | mountains 4 #2c1f4a #e58f8b #5a4477 #241a36
lone-peak | A lone white peak under a yellow sky | mountains 1 #f3c54b #fbeec2 #8a7a64 #6d5a35
night-city | City windows at night 城市夜景 | city 1 #0b1026 #2b2f5e #171a2e #ffd76a
noon-city | Pale towers at noon | city 7 #a7d8f5 #f2fafe #8d99a6 #e7f3fa
red-city | Brick skyline in the evening | city 13 #f7a26b #fde3c0 #8c3b32 #ffe9a8
red-sails | Red sails on a blue sea 红帆 | sails 2 #8fc7ee #e8f4fb #1d6fa5 #d1343b
bright-regatta | A regatta of yellow sails | sails 3 #bfe6d8 #f7fbe8 #2c8f86 #f2b632
dark-sail | One black sail before a storm | sails 1 #4d5661 #a9b1b8 #2e3f4c #15181c
red-lighthouse | Lighthouse with red stripes 灯塔 | lighthouse 300 #8fc7ee #e8f4fb #2574a9 #d62f36
blue-lighthouse | Blue lighthouse in a grey dawn | lighthouse 400 #7d7f8c #e6cfc0 #3e4a5c #20509e
two-apples | Two red apples on a table 苹果 | fruit 2 #efe3cf #efe3cf #9a6b43 #c9252d
three-oranges | Three oranges in a row 橙子 | fruit 3 #cfe5e2 #cfe5e2 #5f7f86 #f28c1b
green-apple | One green apple | fruit 1 #fbfbf4 #fbfbf4 #d9cbb2 #7dbb2c
plums | Four plums on a dark cloth | fruit 4 #c7b4cf #c7b4cf #3a2b45 #5b2a6e
teal-rings | Teal rings around a corner | rings 44 #e8b04a #e8b04a #0e6b72 #bfe9e3
gold-rings | Gold rings on violet | rings 60 #2a0f45 #2a0f45 #f2b632 #7a3f8f
red-target | A red and white target 靶子 | rings 80 #fbfbf4 #fbfbf4 #c9252d #fdfdfd
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: the name in its URL, its title, and how it is drawn."""

    name: str
    title: str
    motif: str
    number: int
    colours: tuple[str, ...]

    def jpeg(self) -> bytes:
        """Draw it: a JPEG file of 320 by 240 pixels, always the same."""
        file = io.BytesIO()
        draw(self.motif, self.number, self.colours).save(file, "JPEG", quality=88)
        return file.getvalue()


def _read(line: str) -> Picture:
    name, title, drawing = line.split(" | ")
    motif, number, *colours = drawing.split()
    return Picture(name, title, motif, int(number), tuple(colours))


PICTURES: Final = tuple(_read(line) for line in _TABLE.strip().splitlines())
