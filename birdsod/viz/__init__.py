"""Figures: a species' photographs, boxes, detections, the curve of a training job, reports side by side.

Every function returns a Matplotlib ``Figure`` and leaves everything else as it is: no figure is closed, no
backend chosen, no setting changed, so it works without a screen. In a notebook a figure appears once, at the
place of the call, wherever that stands; what is changed on it within the cell is shown at the end of the
cell. With ``ax`` it is drawn into axes of your own, and showing them is up to you. Matplotlib loads at the
first call.
"""

from birdsod.viz._boxes import show_boxes, show_detections
from birdsod.viz._compare import compare
from birdsod.viz._curve import plot_map
from birdsod.viz._species import show_species
from birdsod.viz._trials import plot_trials
from birdsod.viz._watch import watch

__all__ = ["compare", "plot_map", "plot_trials", "show_boxes", "show_detections", "show_species", "watch"]
