"""What can go wrong, in classes that say whose fault it is."""


class Error(Exception):
    """The base of this package's own exceptions."""


class InputError(Error, ValueError):
    """What was given to a call is at fault: an argument, or an array of the wrong name, type or shape."""


class ModelError(Error):
    """The model is at fault: its bytes are no model, it breaks ONNX's rules, or its external data is missing or unsafe."""


class FuseError(Error):
    """The model could not be rewritten."""


class RunError(Error):
    """The engine cannot load or run the model, or the reference of `verify` cannot be had."""
