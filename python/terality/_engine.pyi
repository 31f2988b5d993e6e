"""What the compiled module gives to the facade; the engine's bindings are typed as Any."""

from collections.abc import Callable
from types import CodeType
from typing import Any

from pandas import DataFrame, Series

class Native:
    pin: Any

class LazyManager: ...
class Seal: ...

class Method:
    handler: Callable[..., Any] | None
    label: str
    natives: int
    fallbacks: int
    nanoseconds: int
    def __init__(
        self, fn: Any, name: str, owner: Any, subject: int = ..., subject_attr: str | None = ..., chained: int = ...,
        inplace_at: int = ...,
    ) -> None: ...  # fmt: skip
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def reset(self) -> None: ...

class Member:
    handler: Callable[[Any], Any] | None
    setter: Callable[[Any, Any], Any] | None
    label: str
    schema: int
    natives: int
    fallbacks: int
    nanoseconds: int
    def __init__(
        self, descr: Any, name: str, owner: type, subject_attr: str | None = ..., schema: bool = ...,
        axis: str | None = ...,
    ) -> None: ...  # fmt: skip
    def reset(self) -> None: ...

def configure(
    frame_type: type, series_type: type, flags_type: type, fallback: type, on_fallback: Callable[..., None],
    on_chained: Callable[..., None], internal: tuple[str, ...], user: tuple[str, ...], transparent: set[CodeType],
    on_load: Callable[[], None], /,
) -> None: ...  # fmt: skip
def set_mode(mode: int, min_rows: int, min_bytes: int, /) -> None: ...
def caller_is_internal() -> bool: ...
def materialised() -> int: ...
def wrap_frame(native: Native, /) -> DataFrame: ...
def wrap_series(native: Native, /) -> Series: ...
def live_native(obj: Any, /) -> Any: ...
def is_lazy(obj: Any, /) -> bool: ...
def attach(obj: Any, native: Native, /) -> None: ...
def replace(obj: Any, native: Native, /) -> None: ...
def drop(obj: Any, /) -> None: ...
def __getattr__(name: str) -> Any: ...
