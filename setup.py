"""The C extension. It is optional: without a compiler the package runs on its pure-Python engine."""

from glob import glob

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "vxtool._native",
            sources=sorted(glob("vxtool/binding/*.c") + glob("vxtool/*/native/*.c")),
            depends=sorted(glob("vxtool/**/*.h", recursive=True)),
            include_dirs=[*sorted(glob("vxtool/*/native")), "vxtool/binding"],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_compile_args=["-std=c11", "-O3", "-Wall", "-Wextra"],
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
