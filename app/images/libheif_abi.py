"""What is called of libheif (libheif/heif.h, 1.x): its structures and its functions' types.

Structures only grow at their ends, and functions are added but not changed.
"""

import ctypes
from typing import Any

INT, UINT = ctypes.c_int, ctypes.c_uint32
SIZE, POINTER = ctypes.c_size_t, ctypes.c_void_p


class HeifError(ctypes.Structure):
    _fields_ = (("code", INT), ("detail", INT), ("message", ctypes.c_char_p))


class HeifNclx(ctypes.Structure):
    """`heif_color_profile_nclx`, up to what is read of it."""

    _fields_ = (
        ("version", ctypes.c_uint8),
        *((name, INT) for name in ("primaries", "transfer", "matrix")),
        ("full_range", ctypes.c_uint8),
    )


NCLX = ctypes.POINTER(HeifNclx)
PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "heif_get_version_number_major": (INT, ()),
    "heif_context_alloc": (POINTER, ()),
    "heif_context_read_from_memory_without_copy": (HeifError, (POINTER, POINTER, SIZE, POINTER)),
    "heif_context_get_primary_image_handle": (HeifError, (POINTER, POINTER)),
    "heif_context_free": (None, (POINTER,)),
    "heif_image_handle_get_item_id": (UINT, (POINTER,)),
    "heif_image_handle_get_ispe_width": (INT, (POINTER,)),
    "heif_image_handle_get_ispe_height": (INT, (POINTER,)),
    "heif_image_handle_get_width": (INT, (POINTER,)),
    "heif_image_handle_get_height": (INT, (POINTER,)),
    "heif_image_handle_has_alpha_channel": (INT, (POINTER,)),
    "heif_image_handle_get_raw_color_profile_size": (SIZE, (POINTER,)),
    "heif_image_handle_get_raw_color_profile": (HeifError, (POINTER, POINTER)),
    "heif_image_handle_release": (None, (POINTER,)),
    "heif_image_handle_is_premultiplied_alpha": (INT, (POINTER,)),
    "heif_image_handle_get_nclx_color_profile": (HeifError, (POINTER, ctypes.POINTER(NCLX))),
    "heif_image_handle_get_list_of_auxiliary_image_IDs": (INT, (POINTER, INT, POINTER, INT)),
    "heif_image_handle_get_auxiliary_image_handle": (HeifError, (POINTER, UINT, POINTER)),
    "heif_image_handle_get_auxiliary_type": (HeifError, (POINTER, POINTER)),
    "heif_image_handle_release_auxiliary_type": (None, (POINTER, POINTER)),
    "heif_item_get_item_type": (UINT, (POINTER, UINT)),
    "heif_item_get_transformation_properties": (INT, (POINTER, UINT, POINTER, INT)),
    "heif_item_get_property_type": (UINT, (POINTER, UINT, UINT)),
    "heif_item_get_property_transform_rotation_ccw": (INT, (POINTER, UINT, UINT)),
    "heif_item_get_property_transform_mirror": (INT, (POINTER, UINT, UINT)),
    "heif_item_get_property_transform_crop_borders": (
        None,
        (POINTER, UINT, UINT, INT, INT, POINTER, POINTER, POINTER, POINTER),
    ),
    "heif_nclx_color_profile_free": (None, (NCLX,)),
}


def checked(error: HeifError) -> None:
    """Raise `ValueError` where there is one."""
    if error.code:
        raise ValueError(f"libheif answers with error {error.code}.{error.detail}")
