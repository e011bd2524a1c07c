"""What the process as a whole promises: private files, no core dump, closed memory, no telemetry."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edge.process import MALLOC_ARENAS

PYTHON = sys.executable


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("EDGE_", "ORT_", "OPENCV_")) and k != "CI"
    }
    return subprocess.run(
        [PYTHON, "-c", code],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_process_is_closed_to_others() -> None:
    done = python(
        "import os, resource\n"
        "from edge.process import harden\n"
        "harden()\n"
        "import ctypes\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE),"
        " oct(os.umask(0)))\n"
    )
    assert done.stdout.strip() == "0 (1, 1) 0o77", done.stderr


def test_an_abort_leaves_no_core_file(tmp_path: Path) -> None:
    code = "import os; from edge.process import harden; harden(); os.abort()"
    done = subprocess.run([PYTHON, "-c", code], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.returncode < 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc keeps freed memory")
def test_a_freed_frame_is_no_longer_in_memory() -> None:
    """As it would be on glibc's heap, where whoever reads the memory finds it."""
    done = python(
        "import re\n"
        "import numpy as np\n"
        "from edge.process import harden\n"
        "harden()\n"
        "for _ in range(2):  # by itself glibc changes its mind once it has seen such a buffer freed\n"
        "    frame = None\n"
        "    frame = np.full((720, 1280, 3), 7, np.uint8)\n"
        "begin, end = frame.ctypes.data, frame.ctypes.data + frame.nbytes\n"
        "def mapped():\n"
        "    spans = [re.match('(\\w+)-(\\w+)', line).groups() for line in open('/proc/self/maps')]\n"
        "    return any(int(a, 16) < end and begin < int(b, 16) for a, b in spans)\n"
        "before = mapped()\n"
        "del frame\n"
        "print(before, mapped())\n"
    )
    assert done.stdout.strip() == "True False", done.stderr


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_stats"), reason="only glibc tells its heaps")
@pytest.mark.parametrize("closed", [True, False])
def test_many_threads_share_a_few_heaps(closed: bool) -> None:
    """By itself glibc makes one for each of them, up to eight per core."""
    done = python(
        "import ctypes, threading\n"
        "from edge.process import harden\n"
        f"{'harden()' if closed else ''}\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]\n"
        "together = threading.Barrier(7)\n"
        "def work():\n"
        "    together.wait(20)\n"
        "    libc.malloc(5000)\n"
        "    together.wait(20)\n"
        "threads = [threading.Thread(target=work) for _ in range(7)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "libc.malloc_stats()\n"
    )
    heaps = done.stderr.count("Arena ")
    assert heaps <= MALLOC_ARENAS if closed else heaps > MALLOC_ARENAS, done.stderr
    assert heaps >= 1, done.stderr


def test_the_variables_are_set_before_the_libraries_are_imported() -> None:
    done = python(
        "import sys, os, edge\n"
        "assert 'cv2' not in sys.modules and 'onnxruntime' not in sys.modules\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'], os.environ['OPENCV_IO_MAX_IMAGE_PIXELS'])"
    )
    assert done.stdout.split() == ["1", "120000000"], done.stderr


def test_telemetry_stays_off_where_the_user_said_nothing(tmp_path: Path) -> None:
    """With ``CI`` unset and a fresh home ONNX Runtime would write below ``~/.cache``."""
    done = python(
        "import time\n"
        "from edge.detection.session import read_detector\n"
        "from edge.detection.detector import open_detector\n"
        "from edge.config import DetectorConfig\n"
        "from edge.detection import known_face\n"
        "known_face.check(open_detector(read_detector(None), DetectorConfig(provider='cpu')))\n"
        "time.sleep(1)\n"
        "print('done')",
        HOME=str(tmp_path),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )
    assert done.stdout.strip() == "done", done.stderr
    assert [str(p) for p in tmp_path.rglob("*")] == []


def test_a_log_line_cannot_be_forged() -> None:
    done = python(
        "import logging\n"
        "from edge import logs\n"
        "logs.start()\n"
        "logging.getLogger('edge.x').warning('picture %s', 'a\\n2026 INFO all is well\\x1b[31m')"
    )
    assert done.stderr.count("\n") == 1
    assert "\\n2026 INFO" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_can_store_with_closed_memory() -> None:
    """Closing the memory hands /proc/self to root; linking a file without a name must still work."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        done = python(
            "import os\n"
            "from pathlib import Path\n"
            "from edge.process import harden\n"
            "from edge.store.durable import write_bytes\n"
            "os.setgid(65534); os.setuid(65534)\n"
            "harden()\n"
            f"write_bytes(Path({folder!r}, 'a'), b'x')\n"
            "print('stored')\n"
        )
        assert done.stdout.strip() == "stored", done.stderr
        assert Path(folder, "a").read_bytes() == b"x"
