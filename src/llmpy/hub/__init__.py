"""Models by name: where they come from, how they are downloaded, where they lie."""

from llmpy.hub.catalogue import CATALOGUE, CatalogueEntry
from llmpy.hub.events import PullEvent
from llmpy.hub.finding import (
    copy_model,
    default_model,
    default_name,
    find_model,
    looks_like_a_name,
    models,
    remove_model,
    set_default_model,
)
from llmpy.hub.licences import allowed_licenses, check_license, plain_license
from llmpy.hub.pulling import pull
from llmpy.hub.store import StoredFile, StoredModel, models_folder

__all__ = [
    "CATALOGUE",
    "CatalogueEntry",
    "PullEvent",
    "StoredFile",
    "StoredModel",
    "allowed_licenses",
    "check_license",
    "copy_model",
    "default_model",
    "default_name",
    "find_model",
    "looks_like_a_name",
    "models",
    "models_folder",
    "plain_license",
    "pull",
    "remove_model",
    "set_default_model",
]
