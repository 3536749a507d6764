"""Small files of kinds that the encoders at hand do not write."""

import zlib
from base64 import b64decode

TEN_BIT_AVIF = b64decode(
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAA"
    "AAAAAAAAAAAAAAAAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAAzwAAAChpaW5mAAAAAAAB"
    "AAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAAAABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAPoAAAC7gAAAAQcG"
    "l4aQAAAAADCgoKAAAADGF2MUOBEEwAAAAAE2NvbHJuY2x4AAIAAgAGgAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAA"
    "121kYXQSAAoLHC7+fu3boEBA0IAyvQEQYjw8Lu4EEAAWCgAQAFeXvyyQq+0Y5luze1v6GaRfxyAfSRevrwaYWSy6IX"
    "rULtVVmgVljkyfv3vv40Rha5QOHgq8cnf34Xyf0RYOKpCZswjsqsYqhByIxxF8nnUzYwaom0KU6EnAl78skKvtGOZb"
    "s3tb+hmkX8cgH0kXr68GmFksuiF61C7VVZoFZY5Mn7977+NEYWuUDh4KvHJ39+F8n9EWDiqQmbMI7KrGKoQciMcRfJ"
    "51M2MGqJtClNA="
)
"""4000 x 3000 pixels of 10 bits a sample, white beside grey, made with libaom."""

ARITHMETIC_JPEG = zlib.decompress(
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
"""2048 x 2048 pixels, progressive, of arithmetic codes, white beside red, made with cjpeg."""

LYING_AVIF = zlib.decompress(
    b64decode(
        "eNpjYGCQSSupLEgsy0xjAAIQnZuZZpibmQjiv8xNLUlkgADFjJScIiiboSAzuYQBDfAVZJbkglmMQCyXmZOfDOK4gPiMEF"
        "FGXgYGdmYgWyMzMy8NrlYKyEllgvISywwMnfNz8sF2ZWQWFBUAac/MguR8IC2SWVyQCrXPAYqB9lZkgjVzAAmexDJD50Z5"
        "GZCAcHJ+TlFeck4F0FxeBrYGoJB4ZkEuzEdAZ7EwMjWzAN3EnZuSWCLEwMUt/72u/uffZUxSvA5GH3kF2JTevVwmZsbAYH"
        "b+lNWid20WsuunSy2+Jcz3YGHaJffqzUoHHhb/2zZnT577uTwDrt0bVDT9reUPmix5ZpS+V0cnvvwAvfWZ4tM3/6xFcF63"
        "f0NK3PvQqGuVFeYlmqLxhgnhczeMem/Ue6PeG/XeqPdI9Z4RydbtOUAvPST7SAMAtVKS/w=="
    )
)
"""A grey picture of 256 megapixels that says it has 64 x 64, made with libaom."""
