"""The ticket's structure: what is a title, a table cell or a label, and in which order it is read aloud.

ISO 32000-1, 14.7 and 14.8. fpdf2 can tag pictures alone, in a flat list; this writes the whole tree, and the XMP that
says so. How the ticket looks is in :mod:`gateway.receipts.pdf`.
"""

from fpdf.output import PDFPage
from fpdf.syntax import PDFObject
from fpdf.util import escape_parens

from gateway.receipts.typeface import Producer

# Entries of one element's dictionary.
COLUMN = "/A<</O/Table/Scope/Column>>"
ROW = "/A<</O/Table/Scope/Row>>"


def text_entry(name: str, text: str) -> str:
    """Write a text as an entry of a dictionary, such as ``/Alt(Code)`` or ``/Alt<FEFF...>``."""
    if text.isascii():
        return f"/{name}({escape_parens(text)})"
    return f"/{name}<FEFF{text.encode('utf-16-be').hex().upper()}>"


class Element(PDFObject):
    """One node of the tree, of a standard kind: ``H1``, ``P``, ``TD``..."""

    def __init__(self, kind: str, parent: PDFObject, entries: str = "") -> None:
        super().__init__()
        self.kind, self._parent, self._entries = kind, parent, entries
        self._children: list[Element] = []
        self._marks: list[tuple[PDFPage, int]] = []
        self._annotations: list[PDFObject] = []
        self._said: list[str] = []

    def add(self, kind: str, entries: str = "") -> "Element":
        """Add a child."""
        self._children.append(Element(kind, self, entries))
        return self._children[-1]

    def mark(self, page: PDFPage, number: int) -> None:
        """Own a piece of a page's content."""
        self._marks.append((page, number))

    def say(self, text: str) -> None:
        """Tell the words behind glyphs that are not in the order they are read in."""
        self._said.append(text)

    def annotate(self, annotation: PDFObject) -> None:
        """Own an annotation, such as a link."""
        self._annotations.append(annotation)

    def walk(self) -> list["Element"]:
        """List this element and all below it."""
        return [self, *(below for child in self._children for below in child.walk())]

    def serialize(self, obj_dict: object = None, _security_handler: object = None) -> str:  # noqa: ARG002 - fpdf2's
        """Write the dictionary, as short as can be: there are a hundred of them in a ticket."""
        kids = [child.ref for child in self._children]
        kids += [f"<</Type/MCR/Pg {page.ref}/MCID {number}>>" for page, number in self._marks]
        kids += [f"<</Type/OBJR/Pg {self._marks[0][0].ref}/Obj {one.ref}>>" for one in self._annotations]
        content = f"/K[{' '.join(kids)}]"
        if len(self._marks) == len(kids) == 1:
            content = f"/Pg {self._marks[0][0].ref}/K {self._marks[0][1]}"
        said = text_entry("ActualText", " ".join(self._said)) if self._said else ""
        return f"{self.id} 0 obj\n<</S/{self.kind}/P {self._parent.ref}{self._entries}{said}{content}>>\nendobj"


class Tags(PDFObject):
    """The root of the tree, and the way back from each piece of content to its element."""

    def __init__(self) -> None:
        super().__init__()
        self.document = Element("Document", self)
        self._pages: dict[int, list[Element]] = {}
        self._links: list[Element] = []

    def begin(self, page: PDFPage, element: Element) -> str:
        """Give the operator that begins a piece of content of ``element``."""
        owners = self._pages.setdefault(page.index(), [])
        # By their place in the parent tree: links of the first page come first, pages by their number after them.
        page.struct_parents = page.index()
        element.mark(page, len(owners))
        owners.append(element)
        return f"/{element.kind} <</MCID {len(owners) - 1}>> BDC"

    def link(self, element: Element) -> int:
        """Note that ``element`` has an annotation; gives its key. One per ticket, so that no page has the same."""
        self._links = [element]
        return 0

    def objects(self) -> list[PDFObject]:
        """List all there is to write."""
        return [self, *self.document.walk()]

    def serialize(self, obj_dict: object = None, _security_handler: object = None) -> str:  # noqa: ARG002 - fpdf2's
        """Write the root and its parent tree."""
        nums = [f"0 {element.ref}" for element in self._links]
        nums += [f"{page}[{' '.join(one.ref for one in owners)}]" for page, owners in sorted(self._pages.items())]
        tree = f"/ParentTree<</Nums[{' '.join(nums)}]>>"
        return f"{self.id} 0 obj\n<</Type/StructTreeRoot/K {self.document.ref}{tree}>>\nendobj"


class Tagged(Producer):
    """Writes a ticket with its tree."""

    def _add_structure_tree(self) -> PDFObject | None:
        tags = self.fpdf.tags  # type: ignore[attr-defined]  # of our own sheet
        for one in tags.objects():
            self._add_pdf_obj(one, "structure_tree")
        return tags  # type: ignore[no-any-return]

    def _build_xmp_from_info(self) -> str:
        # Level A is level U with all content tagged; fpdf2 has no word for it because it cannot do that part.
        return super()._build_xmp_from_info().replace("<pdfaid:conformance>U<", "<pdfaid:conformance>A<")
