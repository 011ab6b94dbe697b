"""Text in and out of translation: a field becomes segments for an engine plus a skeleton kept verbatim.

`assemble(split(text, language)) == text` for every text, whatever it holds.
"""

from mldata.text.segments import VERSION, Segment, Split, assemble, split, whole

__all__ = ["VERSION", "Segment", "Split", "assemble", "split", "whole"]
