"""Pictures on their way in: what was uploaded, or named, becomes what goes upstream."""

from app.images.data_url import decode_data_url
from app.images.inflight import Held, Inflight
from app.images.intake import Intake
from app.images.limits import ImageLimits
from app.images.url import check_url

__all__ = ["Held", "ImageLimits", "Inflight", "Intake", "check_url", "decode_data_url"]
