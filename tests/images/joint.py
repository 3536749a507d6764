"""JPEGs of scans that Pillow does not write, made once with cjpeg of libjpeg-turbo 2.1: of 4:4:4.

The large ones are packed: 2048 x 2048 pixels, white beside red.
"""

import zlib
from base64 import b64decode

NOISE = b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQF"
    "dBRkxOUlNSMj5aYVpQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09P"
    "T09PT09PT09PT09PT09PT0//wAARCAAfAC0DAREAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8"
    "QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0"
    "NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7"
    "i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/AI5PNW2mlD+YQSXcLsK7XKscgjI+"
    "ZgvzdTzxyJlmuSq2yRobm5mLBmLM524BEm0MclQD0/iz0ziS3Iu4IPs06efbqJsKAo37AANuNpYttxt+7kDg/erxW+x7mS"
    "Q7bre0jW6uVKxFQzN8x5GPlwOBnuSDUNkiS2TfaIXkYIJZBDA3mSL1zuYbyck5JyMqvOOCtzD9mhty6W6PIm51e6lQBuhA"
    "8thkgjkkde55JdIIrWYGMOYzL5cXnBlijAzlMc9AcdcH6cVJb3Xl2sYbz8RRLI8QLqrpnCZDf6xcdeMkFfvEYEbAW6QSW1"
    "zGXikLmZMAO5BZVZgA3XI9QHxkE0lzZ20k128W65usrtRhncSdh5POSx3YJGODk5NS2QhkhY2ykGMceVcqAXK53nGCeoIx"
    "2GBgjJWOeOJi959qldx/y6SqrKckkPuxzzwBwOeBk06eWxtbaWK7CBoYzJHbF2fcRtIbOezbjgEYHOO9NiUReWZjHb3MJz"
    "5ke2PzCCSyqcZOCGXrjIBxkCpGtVnhjd7kPCYwkYyzYUj5VPy5QbSD06HPvUMOwzSWbySyhQHilji2FssqliFHILADhiRj"
    "pkYVivvjR5JFnnaQXCQozFpFwxxzgbiWbp2/hXkU8Xb6fFF5ECMJEB3qiszAcDcGXC/Rf5YpqO0Pmz26uixK2+RQrERjmK"
    "TacbiB05BHPrzMks9tBjAHkOu1lOAAXIUZ655YcADGQeoAil1iwE4jhkjWKZAiHbIQgZeRgYwMjoAegP0fcRAXCyxhVgnt"
    "4jGigASbmZwQCDsbEeM9tuSSTmm+bKjxCOUi1ZgwYgJI2ACACA3QbuueOPpJc6NdMIBb2lx5giAmWORAQ+SCSS/OcZ7/AF"
    "5wP//EAB8BAAMBAQEBAQEBAQEAAAAAAAABAgMEBQYHCAkKC//EALURAAIBAgQEAwQHBQQEAAECdwABAgMRBAUhMQYSQVEH"
    "YXETIjKBCBRCkaGxwQkjM1LwFWJy0QoWJDThJfEXGBkaJicoKSo1Njc4OTpDREVGR0hJSlNUVVZXWFlaY2RlZmdoaWpzdH"
    "V2d3h5eoKDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uLj5OXm5+jp6vLz"
    "9PX29/j5+v/aAAoCAhEDEQA/AE4RjUUVG1kkk9rays9lzJqLe67vdspOE4wly66XWsnd76PayabaTbdve0155T9tD97JqK"
    "1V+t9lpa695Lpokkrlyp15ycpu2lnH4b37Ntx0a913btqmoxV+pUoQU5Slzc2l31V1q73kktbdJb6pkOuoK3LbR2t566Nr"
    "qmpJWu72eisVTrQlKnGEm03u9+ayVnvv3umlpfV35qkKdR2b5opu2itdJa2VnqlfTmfLbR9da6UakXGNnLvbe69VpdNy66"
    "tau67KlRU5KrRWyet7pO/bdWT7PRrmuZ0a8oczr82r077LfS/on9yuJTlXSlQjKpprst22nrZa3ei7X6oxpVbKVt4vm0aU"
    "pWVumum+1rXWhVOvLFcurtulHqltstG3Za9eztfmkpc7oJXvzJOyvFNXe2iafTbf4RYrmpU5NK8XJLVuVtLvS8dXrf7Lfl"
    "dnowryk7TXvTsveT6OKutErNe8l3SdjGadSTTjtokk9+a7sldptddrrXa7zg63uuXutbScn6rZtptaJLd+iS1m6lWKekYt"
    "7WteXTtpvZe8tNbacuVT3GpqPNFrZ3Vu6tZx+079Eru9roWHm+Rup13bXVNaXd0udpLovNtIl89GcqdGF7bt8y37cuj66/"
    "ccmOp03Plk+ZLa8VL5p2lo7XW2jLqJ1JupG0oOy5tNl7v+V72u3ZNJabSpzlOM8LK6s1e0dXqm07dlq0tGkzSnCNZQjFNx"
    "SXu31Tcd907vRva6u7pe81UvFylZ2k1r00aad9ndWet29VKPNupVoUpc0kua+jUY35k9PW++6enuvWwTTUajb+FRum9Hbr"
    "ZW3lsk7+V9pbgkq9tFo1zXS623d972SjG/TVndVnOFRw5HfVtttrS1lZvXXVb6NJO2hpO7k4rRxVru3uv8b8srWs9nJJt2"
    "b5afPGoqri7PRva1tHq/Lq5L4WlJuyNqOEp1FJ1Yczu++m2l43f3vTZN6ik1Wl8SbSs+WHN1eujVr/NvVu2xy/VKnNGjUu"
    "720TtZpqLj2te7ejUnZ3Q4070lVq2SUt3dpt9Or5uZtt9b79FcFRvNTd2911uttde6262e/M3tGf1mpyqLcnFc3S+kX/6T"
    "s73u1orMj6rUUKdNNqSai7W1d9fmrpqXV3261iIVXpdu65ltd7JO72ur+fVrZNSmqdBym7S1s/lFfjo3otb2304/a/DBu2"
    "r1V9JX5Vrq03rsn67pv2Ubcurmm09mviSfbdr779Hc39n7afLBOT0T182k3rH4ne7Sk9FLfQwnjcE7yxUla/u6Sell0SSW"
    "lna3XpaxcJ1ITlCLbejbu09dtmr2St5fe3//2Q=="
)
"""45 x 31 pixels. The first component is in a scan of its own, the others are in one together."""

FLAT = zlib.decompress(
    b64decode(
        "eNrt3EtqFFEUgOFzu01XVXc1dplGYqi8VIiBEEynQQVDAoGAIfvQBbgcHTlwGxlkARn6GJidlNWORMVCMpDAd2t2OVy++h"
        "dwmk/NdUzOTl+dRkoRqf2i+RonkQ8G2WApz7KsKPJhOR2Xo1H54N7y3ena6sb62mpdbz7e2958uPuorp8829l9uj+fzze2"
        "Xxw+n73cO5jPFo+koijKUbkyHq/Mtuqt2T+f5iKqPI88+qmKXpX6VWou435LbZk/nzxr76eTX27bX/kS+WL2KL5dxN/P+X"
        "HHwM5Vx8DypGNg+LZj4M5lx0DvfcdA2u8YiI/HQgghhBBCCCGEEEIIIYQQQgghhBBCCCGEEEIIIYQQQgghhBBCCCGEEEII"
        "IYQQQgghhBBCCCGEEEIIIYQQQgghhBBCCCGEEEIIIYQQQgghhBC3MsRi70T6be/E4MfeiepPeyeGvV7Vr+IobnrevbnpCx"
        "9eXzMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw"
        "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDD8F0Pz+TtjUE"
        "He"
    )
)
"""As that."""

ARITHMETIC = zlib.decompress(
    b64decode(
        "eNrt3U1IFGEcx/Hn2dmXWZ3NWVPblvFlzfWtVbZ1U2uTBV/RDELMfKFsKdJNMlY7KKuIrbYoHsIOSYVFqRAYSeQLFAUaWP"
        "aCBmlqkoLHygopImwaKZL05DV+M3P6850Pc/zP6RHfiPOEz8nMziSUEkKlm4izJI2wSqVKqWBVKpVazfpwARrO15fb7r/V"
        "LyBYHxoSrBeEsIj4qLBw0w5BiE6KMZl3Wa3W0Kg9KcmWffEJVssqQtVqNefL6TQancUgGCybvsQxomVZwhKGaolMSxktFZ"
        "8TJeEpL84QjqFExjO89NmvGufccZf94kwdKSt1pfVN1c6P7pUZw0JJltGRvywft0YOugSR1HXtNdpmytLOj0y32EM9+pDF"
        "SveU7Eyj4r2531UYnbBzoOzGsWJjR+bRIrfx8P6WhdFTjPmlt0huq81r7vvU6rrHe5/xQ5pzutI7DbYT174EHP+suM3Jn/"
        "YO9Z70drL1qXNsfVF/m6JDNyu/mJHrl1F+NbFA98BhS705UWx6XJuY5J/7fTIlsMtZMZbraUhXlzjmvREFs+XvJmxBU18f"
        "xjojJ82dBX3LiZ72A0vjmpWgitMNVSPNec7kn23XBx4NbGu6oPcxLzXdul/1rUbr+CG0PMm5Mrj74HDM2ayQLf49H17km1"
        "uPaEc9UlF9iAu/lO6aX4itfPs6je2eEGqSESNGjBgxYsSIESNei6uk7VrOK6TdmpX+BqhC1r24OtH+njCU2uk/E9na5O9b"
        "Srts3YTaDdLkz75OGEIIf3e4PTtiE09gz6by7EIePnz48OHDhw8fPnz48OHDhw8fPnz48OHDhw8fPnz48OHDhw8fPnz48O"
        "HDhw8fPnz48OHDhw8fPnz48OHDhw8fPnz48OHDhw8fPnz48OHDhw8fPnz48OHDhw8fPnz48OHDhw8fPnz48OHD///9dacK"
        "8BtOFeA3nCGwOpn+BTAqNxI="
    )
)
"""Progressive, of arithmetic codes."""

UNEVEN = zlib.decompress(
    b64decode(
        "eNrt0klslGUAx+H3m/Wb6TRl2oKlGSzTFluQEDodBYxKAK3ADdy9UTf0JKigJiYCrr3hricpIuqFoOJ2MKC4XgyuUC/iAu"
        "oJ3NAmZpwhLhcTlIO9PO97/N78Mv/MU9tf+zxMWj60bChEUQhR/YbaZ2FJiDOZbCYdZ7PZXC7OF9qbC01NhamtbS3t0zq7"
        "Tp3WWSpN753TN717dk+p1D9v5uy5A9VqtatvwTnzK2fPGaxWGpEol8sVmgodzc0dlXKpXPnPp7Y7FOM4xCEZlUOiGCWLUW"
        "1v6Kr/znR0/IQ/TpRIptKZbJzLN9Uf7JoUElEymUgl0+lUqv719vr3kCqmW8sDizJtK1Zlu9e0VzZs3hL3LN65Z/LKfUd6"
        "B4fXbszlp5zSMbVzxml9/TNnVc84c978BWctOe/8oQuWLlt+4UUXX3LpZZdfceVVV19z7errrr/xppvXrb/l1ts23XnX3f"
        "fce9/I/Q88+NDDjzz62OOjW5/c9tT2p5959rnnX9j14ksvv/Lq62/sffOtt995970PPvzo408+3X9g7OAXX3719aHD33z7"
        "3dHvf/jxp5+P/fLreGNXVN/55/nHXcX6rkQqlUxlG7uixPrGg2IqXR7ItC5akV21pq27siFuX7x5y849uZ7BlUcmD6/dl5"
        "/SWz0442hj2vFl/27YxpNa9tewv3eNhXwiqv95YWE4Nt6fn9B77vDoazf0PzGRd3zdyPjc0Tsm8G46NOv0w4mRibwt21fv"
        "2IoCCiiggAIKKKCAAgoooIACCiiggAIKKKCAAgoooIACCiiggAIKKKCAAgoooIACCiiggAIKKKCAAgoooIACCiiggAIKKK"
        "CAAgoooIACCiiggAIKKKCAAgoooIACCiiggAIKKKCAAgoooIACCiiggAIKKKCAAgoooIACCiiggAIKKKCAAgoooIACCiig"
        "gAIKKKCAAgoooIACCiiggAIKKKCAAgoooIACCiiggAIKKKCAAgoooIACCiiggAIKKKCAAgoooIACCiiggAIKKKCAAgoooI"
        "ACCiiggAIKKKCAAgoooIACCiiggAIKKKCAAgoooIACCiiggAIKKKCAAgoooIACCiiggAIKKKCAAgoooIACCiiggAIKKKCA"
        "AgoooIACCiiggAIKKKCAAgoooIACCiiggAIKKKCAAgoooIACCiiggML/TKE2FuIoWQwLw4nObyd60PL+bgkJCQkJCQkJCQ"
        "kJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJiZNM1A78Dl7GLEE="
    )
)
"""The first two components are in one scan together, though one of them is half as wide."""
