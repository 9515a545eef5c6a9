"""The Segment dock's decisions for whole slides: what is asked, and the request that comes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from napari_utanet.adapters.from_layer import Stack
from napari_utanet.adapters.object_table import ObjectTable
from napari_utanet.adapters.regions import (
    Polygon,
    is_shapes,
    middle_of_view,
    polygon_in_view,
    polygons_of_shapes,
)
from napari_utanet.adapters.show import show_beside
from napari_utanet.adapters.slide_layers import (
    SlideLayer,
    given_pixel_size,
    remember_pixel_size,
    same_slide,
    slide_layer,
)
from napari_utanet.adapters.slide_results import picture_layer, place_beside
from napari_utanet.controllers.checkpoints import ModelRead
from napari_utanet.controllers.layer_choices import LayerChoices
from napari_utanet.controllers.run_view import RunView
from napari_utanet.controllers.slide_defaults import (
    default_folder,
    likely_channels,
    own_folder,
    what_the_model_sees,
)
from napari_utanet.controllers.slide_listener import SlideListener
from napari_utanet.controllers.slide_tissue import TissueController
from napari_utanet.controllers.slide_view import SlideView
from napari_utanet.controllers.slide_work import (
    PictureRead,
    SlideEngine,
    SlideRequest,
    picture_work,
    segment_work,
)
from napari_utanet.state import SegmentState, SlideState
from napari_utanet.wording import count
from napari_utanet.worker import Worker
from src_model.errors import ImageError


class SlideDock(Protocol):
    """The dock that slides are segmented from."""

    slide: SlideView
    slide_state: SlideState

    def set_slide_shown(self, shown: bool) -> None:
        """Whether the chosen image is a slide, which some fields do not serve."""


class SlideController:
    """Shows what a slide needs to be asked, and starts its segmentation.

    Parameters
    ----------
    viewer
        The napari viewer.
    state
        What the dock asks for any image.
    dock
        The fields of a slide and their state.
    view
        Button, bar and sentence of the dock.
    worker, helper
        For the segmentation, and for what is looked at before.
    engine
        The science.
    describe
        Reads the description of a checkpoint.
    on_objects
        Called with the objects of a run.
    """

    def __init__(
        self,
        viewer: Any,
        state: SegmentState,
        dock: SlideDock,
        view: RunView,
        worker: Worker,
        helper: Worker,
        *,
        engine: SlideEngine,
        describe: Callable[[Path], ModelRead],
        on_objects: Callable[[ObjectTable], None],
    ) -> None:
        self._viewer = viewer
        self._common = state
        self._state = dock.slide_state
        self._dock = dock
        self._fields = dock.slide
        self._view = view
        self._worker = worker
        self._helper = helper
        self._engine = engine
        self._describe = describe
        self._on_objects = on_objects
        self._run: SlideListener | None = None
        self._slide: SlideLayer | None = None
        self._model = ModelRead(())
        self._tissue = TissueController(viewer, self._state, self._fields, view, helper, engine)
        self._shapes = LayerChoices(viewer, is_shapes, self._fields.set_regions, lambda _: None)
        self._state.events.slide_pixel_size_um.connect(self._slide_pixel_size_given)
        self._state.events.channels.connect(self._tell)
        self._fields.picture_clicked.connect(self._open_picture)
        self._shapes.start()

    def close(self) -> None:
        """Hear nothing any more."""
        self._shapes.close()
        self._tissue.close()
        if self._run is not None:
            self._run.close()

    def choose(self, layer: Any | None, model: ModelRead, *, stack: Stack) -> bool:
        """An image and a model were chosen; whether the image is a slide."""
        slide = None if layer is None or model.sees_volumes else slide_layer(layer, stack=stack)
        before, model_before = self._slide, self._model
        self._slide, self._model = slide, model
        self._fields.set_shown(slide is not None)
        self._dock.set_slide_shown(slide is not None)
        self._tissue.choose(slide)
        if slide is None:
            return False
        other = before is None or (before.layer, before.axes) != (slide.layer, slide.axes)
        if other:
            self._state.slide_pixel_size_um = None if slide.pixel_size_um else given_pixel_size(layer)
            self._fields.set_asking(slide.pixel_size_um is None)
            self._fields.set_folder(*default_folder(slide))
            self._fields.set_pictures(slide.associated)
            self._fields.set_channels(slide.channels)
        if other or model != model_before:
            self._state.pixel_size_um = None
            self._state.channels = likely_channels(slide, model)
        self._fields.set_routing_shown(model.has_experts)
        self._show_pixel_size()
        self._tell()
        return True

    def run(self, layer: Any, checkpoint: Path, *, stack: Stack) -> None:
        """Start on the chosen slide.

        Raises
        ------
        ImageError
            When the region, the tissue or the channels cannot be used.
        """
        slide = slide_layer(layer, stack=stack)
        if slide is None:
            raise ImageError(f"The layer '{layer.name}' has changed and is no slide now; choose it again.")
        request = self._resolve(slide, checkpoint)
        engine, describe = self._engine, self._describe
        self._run = listener = SlideListener(
            self._viewer, self._view, request, on_tissue=self._tissue.show, on_objects=self._on_objects
        )
        self._view.set_running(True)
        self._view.set_progress(0, 0, "")
        self._view.set_status(f"Opening {slide.title}…")
        self._worker.start(lambda control: segment_work(request, engine, describe, control), listener)

    def on_event(self, event: object) -> None:
        """Hears about pictures of the file."""
        if isinstance(event, PictureRead):
            taken = place_beside(self._viewer, event.slide)
            show_beside(self._viewer, picture_layer(event.slide, event.name, event.pixels, taken))
            self._view.set_status(f"The {event.name} image lies to the right of the slide.")

    def on_error(self, message: str) -> None:
        """A picture could not be read."""
        self._view.set_status(message, error=True)

    def on_end(self) -> None:
        """Nothing to do."""

    def _resolve(self, slide: SlideLayer, checkpoint: Path) -> SlideRequest:
        common, own = self._common, self._state
        unknown = slide.pixel_size_um is None and own.slide_pixel_size_um is None
        return SlideRequest(
            slide=slide,
            checkpoint=checkpoint,
            device=common.device,
            threshold=common.threshold,
            top_k=common.top_k,
            domain=common.domain,
            objects=common.objects,
            pixel_size_um=None if unknown else own.pixel_size_um,
            slide_pixel_size_um=None if slide.pixel_size_um else own.slide_pixel_size_um,
            region=self._region(slide),
            tissue_only=own.tissue,
            tissue=self._tissue.of(slide) if own.tissue else None,
            tissue_threshold=own.tissue_threshold,
            channels=self._chosen_channels(slide),
            out=own.out or own_folder(slide),
            routing=own.routing if self._model.has_experts else None,
            focus=middle_of_view(self._viewer, slide.placement),
        )

    def _region(self, slide: SlideLayer) -> list[Polygon] | None:
        chosen = self._state.region
        if chosen == "whole":
            return None
        if chosen == "view":
            return [polygon_in_view(self._viewer, slide.placement, slide.size_yx)]
        layer = self._shapes.get(chosen)
        if layer is None:
            raise ImageError("The layer with the region is gone; choose another region.")
        return polygons_of_shapes(layer, slide.placement, slide.placement.units[-2:])

    def _chosen_channels(self, slide: SlideLayer) -> tuple[int, ...] | None:
        if not slide.channels:
            return None
        chosen, wanted = self._state.channels, self._model.in_channels
        if len(chosen) == wanted or (len(chosen) == 1 and wanted == 3):
            return chosen
        raise ImageError(
            f"The model sees {count(wanted, 'channel')} but {len(chosen)} are chosen; choose "
            + (f"{wanted}, or one to be shown as grey." if wanted == 3 else f"{wanted} under Channels.")
        )

    def _show_pixel_size(self) -> None:
        """What is used unless the user says otherwise."""
        slide = self._slide
        if slide is None:
            return
        own = slide.pixel_size or self._state.slide_pixel_size_um
        if own is None:
            self._fields.set_default_pixel_size(None, "")
        elif self._model.pixel_size_um is not None:
            self._fields.set_default_pixel_size(self._model.pixel_size_um, "the model's")
        else:
            self._fields.set_default_pixel_size(own, "the slide's")

    def _slide_pixel_size_given(self, size: float | None) -> None:
        slide = self._slide
        if slide is not None and slide.pixel_size_um is None:
            remember_pixel_size([one for one in self._viewer.layers if same_slide(one, slide)], size)
            self._show_pixel_size()
            self._tell()

    def _tell(self) -> None:
        """Say what the user should know before the click, in a sentence or two."""
        slide, notes = self._slide, []
        if slide is None:
            return
        if slide.pixel_size_um is None and self._state.slide_pixel_size_um is None:
            notes.append(
                "The slide does not tell how large its pixels are: enter it, or leave it empty to segment "
                "the pixels as they are."
            )
        notes.append(what_the_model_sees(slide, self._model, self._state.channels))
        self._fields.set_note(" ".join(filter(None, notes)))

    def _open_picture(self, name: str) -> None:
        slide = self._slide
        if slide is not None:
            self._helper.start(lambda control: picture_work(slide, name, control), self, supersede=True)
