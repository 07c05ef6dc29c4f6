"""What an export wrote, and what it left out or wrote in another way."""

from __future__ import annotations

from dataclasses import dataclass

from coordspec.convert.counts import Tally, count


@dataclass(slots=True)
class CocoCounts(Tally):
    """Counts of ``coordspec export coco``."""

    images: int = count("images", always=True)
    annotations: int = count("annotations", always=True)
    categories: int = count("categories", always=True)
    polygons: int = count("outlines written as one polygon each")
    joined: int = count("records of an image that an earlier record has, whose objects went there")
    several_images: int = count("records of several images left out; a COCO image is one file")
    summaries: int = count("summaries left out")
    metadata: int = count("metadata left out")


@dataclass(slots=True)
class ResultCounts(Tally):
    """Counts of ``coordspec export coco-results``."""

    results: int = count("results", always=True)
    polygons: int = count("outlines written as one polygon each")
    default_scores: int = count("results with the score of --default-score; AP means little with them")
    without_category: int = count("objects left out whose desc is no category (--categories can name one)")
    several_images: int = count("predictions for several images left out; a COCO image is one file")
    repeated: int = count("predictions for an image that an earlier prediction has too")
    unpredicted: int = count("images of the instances without a prediction")
    dropped: int = count("dropped entries left out, which are no objects")
    part_scores: int = count("objects whose score_coord, score_desc or coords were left out")


@dataclass(slots=True)
class LabelStudioCounts(Tally):
    """Counts of ``coordspec export label-studio``."""

    tasks: int = count("tasks", always=True)
    annotated: int = count("annotated regions")
    predicted: int = count("predicted regions")
    unscored: int = count("predicted regions without a score")
    strays: int = count("predictions for no record of the data left out")
    unpredicted: int = count("tasks without a prediction")
    several_images: int = count("records of several images left out; a task shows one")
    summaries: int = count("summaries left out")
    metadata: int = count("metadata left out")
    dropped: int = count("dropped entries left out, which are no objects")
    part_scores: int = count("objects whose score_coord, score_desc or coords were left out")
    no_label: int = count("descs left out of the labeling config, since XML cannot hold a character of them")
