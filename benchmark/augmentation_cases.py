"""Pipelines of which dots and points must agree: every transform that moves, and all at once."""

from __future__ import annotations

from napari_synth.augmentation import (
    Crop,
    Elastic,
    Fisheye,
    Flip,
    Perspective,
    QuarterTurn,
    Resize,
    Rotate,
    Scale,
    Shear,
    ThinPlate,
    Transform,
    Translate,
)

PLANES: dict[str, tuple[Transform, ...]] = {
    "flip": (Flip(),),
    "quarter turn": (QuarterTurn(),),
    "rotate": (Rotate(),),
    "scale": (Scale(stretch=1.5),),
    "shear": (Shear(degrees=20.0),),
    "translate": (Translate(),),
    "perspective": (Perspective(strength=0.25),),
    "elastic": (Elastic(grid=32.0, least=6.0, most=12.0),),
    "thin plate": (ThinPlate(fraction=0.12),),
    "bulge": (Fisheye(least=0.3, most=0.4),),
    "pinch": (Fisheye(least=-0.4, most=-0.3),),
    "crop": (Crop(height=90, width=101),),
    "enlarge": (Resize(height=190, width=170),),
    "shrink": (Resize(height=100, width=110),),
    "all": (
        Crop(height=130, width=125),
        Flip(),
        Rotate(),
        Scale(),
        Shear(),
        Perspective(),
        Elastic(),
        ThinPlate(),
        Fisheye(),
        Translate(),
        Resize(height=130, width=140),
    ),
}
"""For images, by name; strong, so that an error shows."""

VOLUMES: dict[str, tuple[Transform, ...]] = {
    "flip": (Flip(depth=True),),
    "rotate": (Rotate(depth=90.0),),
    "scale": (Scale(stretch=1.3, depth=True),),
    "shear": (Shear(degrees=20.0, depth=15.0),),
    "translate": (Translate(depth=0.1),),
    "perspective": (Perspective(strength=0.2, depth=0.2),),
    "elastic": (Elastic(grid=24.0, least=4.0, most=8.0, depth=True),),
    "elastic, planes alike": (Elastic(grid=24.0, least=4.0, most=8.0), Flip(depth=True)),
    "thin plate": (ThinPlate(fraction=0.1, depth=True),),
    "thin plate, planes alike": (ThinPlate(fraction=0.1), Flip(depth=True)),
    "fisheye": (Fisheye(least=0.2, most=0.3),),
    "crop": (Crop(height=40, width=41, depth=30),),
    "resize": (Resize(height=70, width=60, depth=50),),
    "all": (
        Flip(depth=True),
        Rotate(depth=20.0),
        Scale(depth=True),
        Shear(depth=5.0),
        Perspective(strength=0.1, depth=0.1),
        Elastic(grid=24.0, least=2.0, most=5.0, depth=True),
        ThinPlate(depth=True, fraction=0.04),
        Fisheye(),
    ),
}
"""For volumes."""
