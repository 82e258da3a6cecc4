"Everything about the package stands in settings.ini; pyproject.toml says only how to build it."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

root = Path(__file__).parent
ini = ConfigParser(delimiters=["="])
ini.read(root/"settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]
lib = cfg["lib_name"]


def lines(key): return [o.strip() for o in cfg.get(key, "").splitlines() if o.strip()]


extras = {o: lines(f"{o}_requirements") for o in ("bible", "tokens", "web")}


def data_files():
    "What the package carries beside its modules: trained models and the web page"
    return [p.relative_to(root/lib).as_posix() for d in ("pretrained", "web")
            for p in sorted((root/lib/d).rglob("*")) if p.is_file() and "__pycache__" not in p.parts]


setup(
    name=lib,
    version=cfg["version"],
    description=cfg["description"],
    long_description=(root/"README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    license="Apache-2.0",
    license_files=["LICENSE"],
    url=cfg["git_url"],
    project_urls={"Documentation": cfg["doc_host"] + cfg["doc_baseurl"]},
    keywords=cfg["keywords"].split(),
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Education",
        "Natural Language :: English",
        *(f"Programming Language :: Python :: 3.{o}" for o in range(10, 14)),
    ],
    packages=find_packages(include=[lib, f"{lib}.*"]),
    package_data={lib: data_files()},
    include_package_data=False,
    install_requires=lines("requirements"),
    extras_require=extras | {"dev": [o for k in ("dev", *extras) for o in lines(f"{k}_requirements")]},
    entry_points={
        "console_scripts": lines("console_scripts"),
        "nbdev": [f"{lib}={lib}._modidx:d"],
    },
    zip_safe=False,
)
