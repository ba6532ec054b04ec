"""QR codes for addresses printed on paper (ISO/IEC 18004): byte mode, error correction M, versions 1 to 6.

That is up to 106 bytes, twice what an address here needs; a portal with longer ones takes a library.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

# Per version: error correction bytes of a block, blocks, data bytes of a block. At level M all blocks are of one size.
_SHAPES = ((10, 1, 16), (16, 1, 28), (26, 1, 44), (18, 2, 32), (24, 2, 43), (16, 4, 27))

_MASKS: tuple[Callable[[int, int], bool], ...] = (
    lambda y, x: (y + x) % 2 == 0,
    lambda y, _: y % 2 == 0,
    lambda _, x: x % 3 == 0,
    lambda y, x: (y + x) % 3 == 0,
    lambda y, x: (y // 2 + x // 3) % 2 == 0,
    lambda y, x: y * x % 2 + y * x % 3 == 0,
    lambda y, x: (y * x % 2 + y * x % 3) % 2 == 0,
    lambda y, x: ((y + x) % 2 + y * x % 3) % 2 == 0,
)

# What a finder pattern looks like to a scanner that reads across data, light side included.
_LOOKALIKES = ((1, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0), (0, 0, 0, 0, 1, 0, 1, 1, 1, 0, 1))

Grid = list[list[int]]


def draw(text: str) -> tuple[int, str]:
    """Give the side in modules, its quiet zone of four included, and the dark modules as an SVG path.

    Raises :class:`ValueError` for a text that is too long.
    """
    grid = encode(text.encode())
    dark = ((y + 4, x + 4) for y, row in enumerate(grid) for x, module in enumerate(row) if module)
    return len(grid) + 8, "".join(f"M{x} {y}h1v1h-1z" for y, x in dark)


def encode(text: bytes) -> Grid:
    """Lay out the symbol: rows of 1 (dark) and 0."""
    version = next((v for v, (_, n, size) in enumerate(_SHAPES, 1) if len(text) + 2 <= n * size), 0)
    if not version:
        raise ValueError("too long for a printed code")
    frame = _frame(version)
    bits = _bits(_codewords(text, *_SHAPES[version - 1]))
    filled = [row[:] for row in frame]
    free = [(y, x) for y, x in _path(len(frame)) if frame[y][x] < 0]
    for y, x in free:
        filled[y][x] = next(bits, 0)
    return min((_masked(filled, free, mask) for mask in range(8)), key=_penalty)


def _codewords(text: bytes, correction: int, blocks: int, size: int) -> list[int]:
    """Pack the text, pad it, and interleave the blocks with their error correction."""
    packed = (0b0100 << 8 | len(text)) << (8 * len(text)) | int.from_bytes(text, "big")
    # Four zero bits end the text; together with the mode's four they fill a byte.
    data = list((packed << 4).to_bytes(len(text) + 2, "big"))
    data += [(0xEC, 0x11)[i % 2] for i in range(blocks * size - len(data))]
    parts = [data[i * size : (i + 1) * size] for i in range(blocks)]
    corrections = [_correction(part, correction) for part in parts]
    return [word for group in (parts, corrections) for column in zip(*group, strict=True) for word in column]


def _correction(data: Sequence[int], length: int) -> list[int]:
    """Divide by the Reed-Solomon generator over GF(256), polynomial 0x11D."""
    generator = [1]
    for power in range(length):
        root = _power(power)
        generator = [a ^ _times(b, root) for a, b in zip([*generator, 0], [0, *generator], strict=True)]
    rest = [*data, *[0] * length]
    for i in range(len(data)):
        factor = rest[i]
        for j, coefficient in enumerate(generator):
            rest[i + j] ^= _times(coefficient, factor)
    return rest[-length:]


def _times(a: int, b: int) -> int:
    product = 0
    while b:
        product ^= a * (b & 1)
        a, b = (a << 1) ^ (0x11D * (a >> 7)), b >> 1
    return product


def _power(exponent: int) -> int:
    value = 1
    for _ in range(exponent):
        value = _times(value, 2)
    return value


def _bits(words: Iterable[int]) -> Iterator[int]:
    return (word >> shift & 1 for word in words for shift in range(7, -1, -1))


def _frame(version: int) -> Grid:
    """Draw what does not depend on the text; -1 is left for data."""
    side = version * 4 + 17
    grid = [[-1] * side for _ in range(side)]
    for top, left in ((0, 0), (0, side - 7), (side - 7, 0)):
        for y in range(max(top - 1, 0), min(top + 8, side)):
            for x in range(max(left - 1, 0), min(left + 8, side)):
                ring = max(abs(y - top - 3), abs(x - left - 3))
                grid[y][x] = int(ring not in (2, 4))
    if version > 1:
        centre = side - 7
        for y in range(centre - 2, centre + 3):
            for x in range(centre - 2, centre + 3):
                grid[y][x] = int(max(abs(y - centre), abs(x - centre)) != 1)
    for i in range(8, side - 8):
        grid[6][i] = grid[i][6] = 1 - i % 2
    for y, x in (*_format_places(side)[0], *_format_places(side)[1], (side - 8, 8)):
        grid[y][x] = 1
    return grid


def _format_places(side: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Give the two places of the fifteen format bits, the highest first."""
    around = [(8, x) for x in (0, 1, 2, 3, 4, 5, 7, 8)] + [(y, 8) for y in (7, 5, 4, 3, 2, 1, 0)]
    split = [(side - 1 - i, 8) for i in range(7)] + [(8, side - 8 + i) for i in range(8)]
    return around, split


def _path(side: int) -> Iterator[tuple[int, int]]:
    """Walk up and down in pairs of columns, from the right; the vertical timing column is stepped over."""
    upwards = True
    for right in (*range(side - 1, 6, -2), 5, 3, 1):
        for y in range(side - 1, -1, -1) if upwards else range(side):
            yield y, right
            yield y, right - 1
        upwards = not upwards


def _masked(filled: Grid, free: Iterable[tuple[int, int]], mask: int) -> Grid:
    grid = [row[:] for row in filled]
    for y, x in free:
        grid[y][x] ^= _MASKS[mask](y, x)
    # Level M is 00; ten check bits (BCH, generator 0x537), then the standard's mask.
    rest = mask << 10
    for shift in range(4, -1, -1):
        if rest >> (shift + 10) & 1:
            rest ^= 0x537 << shift
    word = (mask << 10 | rest) ^ 0x5412
    for places in _format_places(len(grid)):
        for shift, (y, x) in zip(range(14, -1, -1), places, strict=True):
            grid[y][x] = word >> shift & 1
    return grid


def _penalty(grid: Grid) -> int:
    """Weigh what makes a symbol hard to read: runs, blocks, lookalikes of finders, imbalance."""
    side = len(grid)
    lines = [*grid, *(list(column) for column in zip(*grid, strict=True))]
    runs = sum(_run_penalty(line) for line in lines)
    blocks = sum(
        grid[y][x] == grid[y][x + 1] == grid[y + 1][x] == grid[y + 1][x + 1]
        for y in range(side - 1)
        for x in range(side - 1)
    )
    lookalikes = sum(tuple(line[i : i + 11]) in _LOOKALIKES for line in lines for i in range(side - 10))
    dark = sum(map(sum, grid)) * 100 // (side * side)
    return runs + 3 * blocks + 40 * lookalikes + 10 * (abs(dark - 50) // 5)


def _run_penalty(line: Sequence[int]) -> int:
    total, length = 0, 1
    for previous, module in zip(line, [*line[1:], -1], strict=True):
        if module == previous:
            length += 1
        else:
            total += length - 2 if length >= 5 else 0
            length = 1
    return total
