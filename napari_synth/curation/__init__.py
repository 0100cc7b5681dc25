"""Which of many images are worth keeping: what is known of each, decisions in a journal, and an export that others can read."""

from __future__ import annotations

from napari_synth.curation.decisions import Agreement, Combined, Decision, Verdict, agreement, combined
from napari_synth.curation.export import HOW, Exported, ExportPlan, export_set
from napari_synth.curation.images import CuratedImage, ImageSet, open_images
from napari_synth.curation.journal import JOURNAL, Journal
from napari_synth.curation.splitting import PARTS, groups_of_copies, split

__all__ = [
    "HOW",
    "JOURNAL",
    "PARTS",
    "Agreement",
    "Combined",
    "CuratedImage",
    "Decision",
    "ExportPlan",
    "Exported",
    "ImageSet",
    "Journal",
    "Verdict",
    "agreement",
    "combined",
    "export_set",
    "groups_of_copies",
    "open_images",
    "split",
]
