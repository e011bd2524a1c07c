"""Formats of pictures and videos that are not read. Unlike other files, they must not be skipped silently."""

from __future__ import annotations

from pathlib import Path

_PICTURES = {
    "HEIF": ".heic .heif .heics .heifs .hif",
    "AVIF": ".avif .avifs",
    "JPEG 2000": ".jp2 .j2k .j2c .jpf .jpx .jpm",
    "JPEG XL": ".jxl",
    "JPEG XR": ".jxr .hdp .wdp",
    "GIF": ".gif",
    "animated PNG": ".apng",
    "Photoshop": ".psd .psb",
    "OpenEXR": ".exr",
    "Radiance": ".hdr",
    "Targa": ".tga",
    "Netpbm": ".pbm .pgm .ppm .pnm .pam",
    "stereo JPEG": ".mpo .jps",
    "camera raw": ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .k25 .kdc .mef .mos .mrw .nef .nrw "
    ".orf .pef .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f",
}
_VIDEOS = {
    "MPEG transport stream": ".ts .mts .m2ts .m2t",
    "MPEG": ".mpg .mpeg .mpe .m1v .m2v .mpv .vob .mod .tod",
    "Windows Media": ".wmv .asf",
    "3GPP": ".3gp .3g2 .3gpp",
    "Flash": ".flv .f4v",
    "Ogg": ".ogv .ogm",
    "RealMedia": ".rm .rmvb",
    "MXF": ".mxf",
    "DV": ".dv",
    "DivX": ".divx",
    "QuickTime": ".qt",
    "raw H.264 or H.265": ".264 .h264 .265 .h265 .hevc",
    "motion JPEG": ".mjpeg .mjpg",
    "camera's preview": ".lrv .lrf .insv",
    "cinema raw": ".braw .r3d",
}
_WRONG_NAMES = {".jfif": ".jpg", ".jpe": ".jpg", ".jif": ".jpg", ".insp": ".jpg", ".dib": ".bmp"}
"""Unusual endings of formats that are read under their usual ending."""

UNREAD = (
    {
        suffix: f"{name} pictures are not read; make it a JPEG or PNG first"
        for name, suffixes in _PICTURES.items()
        for suffix in suffixes.split()
    }
    | {
        suffix: f"{name} videos are not read; make it an MP4 first (ffmpeg -i IN OUT.mp4)"
        for name, suffixes in _VIDEOS.items()
        for suffix in suffixes.split()
    }
    | {suffix: f"not read under this name; rename it to {name}" for suffix, name in _WRONG_NAMES.items()}
)
"""File name endings in lower case, and why such a file is refused."""


def why_unread(path: Path) -> str:
    """Why a picture or video file with this name is not read; empty for all other files."""
    return UNREAD.get(path.suffix.lower(), "")
