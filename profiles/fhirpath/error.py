"""What goes wrong with an expression: it cannot be read, it asks for something that does not exist, or its data does not fit.

https://hl7.org/fhirpath/N1/#singleton-evaluation-of-collections
"""


class FhirPathError(Exception):
    """An expression that cannot be compiled or evaluated: `message` says why, `expression` is its text."""

    def __init__(self, message: str, expression: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.expression = expression

    def __str__(self) -> str:
        return f"{self.message}, in the expression: {self.expression}" if self.expression else self.message


class TooCostly(FhirPathError):
    """An expression that was given up because it took more steps, or made longer text, than its caller allows."""
