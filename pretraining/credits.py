"""Who made the training data and under which licence, as the card says it; PHOTOGRAPHS.md lists the files."""

from __future__ import annotations

from napari_synth.models import TrainingData

_DEBIAN = "Debian 12, package "

TRAINING_DATA: tuple[TrainingData, ...] = (
    TrainingData(
        name="Generated images: textured dead leaves, textures, spots, filaments, membranes, nuclei",
        licence="BSD-3-Clause",
        authors=("napari-synth",),
        source="pretraining/scenes.py",
    ),
    TrainingData(
        name="Photographs of lomiri-wallpapers, 2018 edition, free under CC-BY-4.0",
        licence="CC-BY-4.0",
        authors=("Aitzol Berasategi", "Trevor 'Freespace'", "Abhishek Mudgal", "Jakub Mede"),
        source=_DEBIAN + "lomiri-wallpapers-16.04",
    ),
    TrainingData(
        name="Photographs of lomiri-wallpapers, 2018 edition, free under CC-BY-SA-4.0",
        licence="CC-BY-SA-4.0",
        authors=("Peter Nerlich", "Sander Klootwijk", "Bolly"),
        source=_DEBIAN + "lomiri-wallpapers-16.04",
    ),
    TrainingData(
        name="Photograph 'seeding' of lomiri-wallpapers",
        licence="CC0-1.0",
        authors=("Clemens Engelhardt",),
        source=_DEBIAN + "lomiri-wallpapers-16.04",
    ),
    TrainingData(
        name="Photographs of lomiri-wallpapers, 2023 edition",
        licence="CC-BY-SA-3.0",
        authors=("Jasper Roks", "Aury88", "Lukas Baubkus", "HEROBRINE7GAMER"),
        source=_DEBIAN + "lomiri-wallpapers-20.04",
    ),
    TrainingData(
        name="Photographs of mate-backgrounds",
        licence="GPL-2.0-or-later",
        authors=(
            "Wyng Stancikaite",
            "Charles Barbin",
            "Lennart Poettering",
            "Andrea Cimitan",
            "Marco Cogoni",
            "Hylke Bons",
            "Jens Ansorg",
            "Timothy Schellhase",
            "Lapo Calamandrei",
            "blackcombwhistler07",
            "Sergey Nazarov",
            "Jean-François Fortin Tam",
        ),
        source=_DEBIAN + "mate-backgrounds",
    ),
    TrainingData(
        name="Wallpapers of plasma-workspace-wallpapers, free under LGPL-3.0",
        licence="LGPL-3.0-only",
        authors=(
            "RJ Quiralta",
            "Maciej Wiklo",
            "Ken Vermette",
            "Risto Saukonpää",
            "Dmitri Popov",
            "Ian Hex",
            "Martin Klapetek",
            "Sigi Sagi",
            "Lionel",
        ),
        source=_DEBIAN + "plasma-workspace-wallpapers",
    ),
    TrainingData(
        name="Wallpapers of plasma-workspace-wallpapers, free under CC-BY-SA-4.0",
        licence="CC-BY-SA-4.0",
        authors=(
            "Alesya Khoteeva",
            "Ken Vermette",
            "Santiago Cézar",
            "ruvkr",
            "Áron Kovács",
            "Lucas Andrade",
            "Nikita Babin",
        ),
        source=_DEBIAN + "plasma-workspace-wallpapers",
    ),
    TrainingData(
        name="Textures of supertuxkart-data, free under CC-BY-SA-4.0",
        licence="CC-BY-SA-4.0",
        authors=(
            "Jean-Manuel Clémençon",
            "Sven Andreas Belting",
            "Burningwell.org",
            "QwertyChouskie",
        ),
        source=_DEBIAN + "supertuxkart-data",
    ),
    TrainingData(
        name="Textures of supertuxkart-data, free under CC-BY-SA-3.0",
        licence="CC-BY-SA-3.0",
        authors=(
            "Ivar ten Cate",
            "Sven Andreas Belting",
            "Marianne Gagnon",
            "Mac_DMH",
            "Jean-Manuel Clémençon",
            "fraang",
            "Thomas Oppl",
            "Christoph Egger",
            "MiniBjorn",
            "Gregory Schick",
            "Dakal",
            "Iwan 'qubodup' Gabovitch",
            "Typhon306",
            "Piotrus",
            "Dragoljub Stanojev",
            "Dim",
            'Christian "Duion" Femmer',
            "Yinan Chen",
            "ctdabomb",
            "Canis Lupus",
            "Blender Foundation",
            "Julius Krischan Makowka",
            "shinto",
            "Mekathratos",
            "Viktor Aurelius",
            "RaceAce",
            "Lionel Fuentes",
            "Benau",
            "SuperTuxKart Team",
        ),
        source=_DEBIAN + "supertuxkart-data",
    ),
    TrainingData(
        name="Textures of supertuxkart-data, in the public domain",
        licence="Public domain",
        authors=(
            "Burningwell.org",
            "Jean-Manuel Clémençon",
            "Varivar",
            "Sean Greene",
        ),
        source=_DEBIAN + "supertuxkart-data",
    ),
    TrainingData(
        name="Textures of supertuxkart-data, free under CC0-1.0",
        licence="CC0-1.0",
        authors=(
            "KartOym",
            "Colorado Stark",
            "Ron Kapaun/3TD Studios",
            "Sven Andreas Belting",
            "Para",
            "Yinan Chen",
            "Wolfs",
            "ambientCG",
            "bart",
            "Benau",
        ),
        source=_DEBIAN + "supertuxkart-data",
    ),
    TrainingData(
        name="Textures of supertuxkart-data, free under CC-BY-4.0",
        licence="CC-BY-4.0",
        authors=("Typhon306",),
        source=_DEBIAN + "supertuxkart-data",
    ),
    TrainingData(
        name="Textures of supertuxkart-data, free under CC-BY-3.0",
        licence="CC-BY-3.0",
        authors=(
            "LFA",
            "Keith333",
            "Sven Andreas Belting",
            'Christian "Duion" Femmer',
        ),
        source=_DEBIAN + "supertuxkart-data",
    ),
    TrainingData(
        name="brick, grass and gravel of scikit-image",
        licence="CC0-1.0",
        authors=("CC0Textures", "linolafett"),
        source="skimage.data",
    ),
    TrainingData(name="coffee of scikit-image", licence="CC0-1.0", authors=("Rachel Michetti",), source="skimage.data"),
    TrainingData(
        name="rocket and hubble_deep_field of scikit-image",
        licence="Public domain",
        authors=("SpaceX", "NASA"),
        source="skimage.data",
    ),
)
"""Every source of the bundled denoiser's and the super-resolution network's training data."""
INPAINTING_DATA: tuple[TrainingData, ...] = tuple(
    source for source in TRAINING_DATA if not source.name.startswith(("brick", "coffee"))
)
"""Those of the inpainting network, which leaves out what its bench shows."""
