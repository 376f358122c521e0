"""The functions of FHIRPath, a module for each chapter of the specification.

https://hl7.org/fhirpath/N1/#functions
"""
