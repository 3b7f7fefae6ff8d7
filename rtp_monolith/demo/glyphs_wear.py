"""Drawings for shoes, clothing and accessories.

Each takes the paint and a variation from 0 to 3 and fills a 240 × 240 field that stands on the ground at y = 200.
Invariant: a drawing is a pure function of its two arguments. Knows nothing of items.
"""

from __future__ import annotations

from rtp_monolith.demo.ink import Paint, box, disc, line, oval, path, ring, tilt


def sneaker(k: Paint, v: int) -> str:
    upper = path(
        "M34 96 C52 112 70 106 80 88 L128 118 C146 138 196 136 208 160 V182 H30 C26 150 28 122 34 96 Z", k.base
    )
    toe = path("M150 136 C180 140 204 144 208 160 V182 H158 Z", k.light)
    heel = path("M34 96 C42 103 50 106 58 105 C54 134 56 160 60 182 H30 C26 150 28 122 34 96 Z", k.dark)
    laces = line("M92 112 L104 98 M106 122 L118 106 M120 130 L132 116", k.paper, 5)
    swoop = (
        line("M66 160 C100 162 122 152 140 136", k.accent, 7)
        if v % 2
        else line("M76 152 L104 168 M92 142 L124 166", k.accent, 6)
    )
    return upper + toe + heel + laces + swoop + box(26, 178, 188, 20, 10, k.paper) + line("M34 194 H206", k.steel, 4)


def boot(k: Paint, v: int) -> str:
    shaft = path("M74 36 H134 L136 116 C160 132 206 134 208 168 V184 H72 Z", k.base)
    shade = path("M74 36 H92 L88 184 H72 Z", k.dark) + path("M152 136 C182 142 206 146 208 168 V184 H160 Z", k.light)
    laces = (
        "".join(line(f"M112 {y} L134 {y - 4}", k.paper, 4) for y in (64, 82, 100, 118))
        if v % 2
        else path("M96 60 L118 60 L110 130 L100 130 Z", k.deep)
    )
    pull = line("M80 36 C80 22 96 22 96 36", k.accent, 5)
    return pull + shaft + shade + laces + box(68, 180, 144, 16, 6, k.ink) + box(68, 184, 44, 18, 4, k.ink)


def sandal(k: Paint, v: int) -> str:
    sole = path("M28 168 C60 150 150 178 212 164 C222 182 206 194 186 194 H52 C34 194 22 184 28 168 Z", k.wood)
    edge = path("M28 180 C80 190 160 190 214 176 C214 188 202 194 186 194 H52 C38 194 28 188 28 180 Z", k.timber)
    straps = path("M120 172 C122 118 168 110 190 166 L166 170 C156 138 144 142 140 172 Z", k.base) + path(
        "M66 162 C70 112 112 110 124 172 L104 172 C98 138 86 138 84 166 Z", k.dark
    )
    back = line("M40 166 C34 120 62 112 78 128", k.base, 10) if v % 2 else ""
    return back + sole + edge + straps + disc(168, 138, 7, k.metal) + disc(100, 134, 7, k.metal)


def heel(k: Paint, v: int) -> str:
    spike = path("M44 112 L58 112 L50 200 H40 Z", k.dark) if v % 2 else path("M36 110 L74 128 L62 200 H40 Z", k.dark)
    body = path(
        "M36 84 C50 92 66 92 78 86 C102 136 150 156 200 168 C216 174 214 192 196 194 H150 C112 192 84 150 "
        "60 128 C44 124 32 108 36 84 Z",
        k.base,
    )
    inner = path("M42 88 C54 94 66 92 78 86 C100 132 140 152 172 162 C130 160 84 138 42 88 Z", k.deep)
    bow = (
        disc(178, 164, 7, k.accent) + path("M178 164 L162 154 V172 Z M178 164 L194 156 V172 Z", k.accent)
        if v > 1
        else ""
    )
    return spike + body + inner + bow + line("M152 196 H196", k.ink, 5)


def tshirt(k: Paint, v: int) -> str:
    body = path("M88 44 C100 62 140 62 152 44 L204 70 L186 116 L168 106 V200 H72 V106 L54 116 L36 70 Z", k.base)
    shade = path("M168 106 V200 H142 C156 160 158 128 152 44 L204 70 L186 116 Z", k.dark)
    neck = path("M88 44 C100 62 140 62 152 44 L144 40 C132 52 108 52 96 40 Z", k.deep)
    front = {
        0: box(128, 92, 28, 32, 4, k.light),
        1: line("M74 118 H166 M74 136 H166 M74 154 H166", k.pale, 6),
        2: disc(118, 124, 22, k.accent) + path("M96 124 a22 22 0 0 1 44 0 z", k.paper),
        3: "",
    }[v % 4]
    return body + shade + neck + front


def jacket(k: Paint, v: int) -> str:
    sleeves = path("M78 60 L40 88 L32 184 H62 L76 120 Z", k.dark) + path(
        "M162 60 L200 88 L208 184 H178 L164 120 Z", k.deep
    )
    body = path("M84 50 H156 L172 76 V200 H68 V76 Z", k.base) + path("M120 56 H156 L172 76 V200 H120 Z", k.dark)
    hood = path("M84 52 C80 20 160 20 156 52 L120 78 Z", k.light) + path(
        "M96 50 C98 32 142 32 144 50 L120 70 Z", k.deep
    )
    zip_ = line("M120 74 V196", k.metal, 4)
    pockets = line("M82 150 L100 138 M158 150 L140 138", k.deep, 5)
    quilt = (
        line("M70 100 H116 M124 100 H170 M70 124 H116 M124 124 H170 M70 174 H116 M124 174 H170", k.light, 2.5)
        if v % 2
        else disc(88, 104, 6, k.accent)
    )
    return sleeves + body + quilt + hood + zip_ + pockets


def dress(k: Paint, v: int) -> str:
    straps = line("M98 66 L104 32 M142 66 L136 32", k.dark, 6)
    top = path("M92 62 C108 74 132 74 148 62 L142 112 H98 Z", k.base)
    skirt = (
        path("M98 112 H142 L182 200 H58 Z", k.base)
        + path("M128 112 H142 L182 200 H142 Z", k.dark)
        + path("M104 112 H112 L92 200 H74 Z", k.light)
    )
    dots = "".join(
        disc(x, y, 4, k.pale)
        for x, y in ((104, 144), (128, 140), (90, 172), (118, 170), (148, 174), (110, 90), (130, 88))
    )
    return straps + top + skirt + (dots if v % 2 else "") + box(94, 106, 52, 10, 4, k.accent)


def jeans(k: Paint, v: int) -> str:
    legs = path("M76 36 H164 L178 200 H134 L120 98 L106 200 H62 Z", k.base) + path(
        "M140 36 H164 L178 200 H150 Z", k.dark
    )
    seams = line("M90 56 C90 74 82 78 74 78 M150 56 C150 74 158 78 166 78 M120 54 V96", k.light, 3)
    cuffs = path("M63 186 H108 L106 200 H62 Z", k.pale) + path("M132 186 H177 L178 200 H134 Z", k.pale) if v % 2 else ""
    return (
        legs
        + seams
        + cuffs
        + box(74, 32, 92, 16, 4, k.dark)
        + disc(120, 40, 4, k.glow)
        + "".join(box(x, 30, 6, 20, 2, k.deep) for x in (90, 144))
    )


def hat(k: Paint, v: int) -> str:
    if v % 2:
        dome = path("M64 150 C60 72 96 52 120 52 C144 52 180 72 176 150 Z", k.base) + path(
            "M140 56 C170 72 178 104 176 150 H146 C154 110 150 80 140 56 Z", k.dark
        )
        ribs = "".join(line(f"M{x} 148 V176", k.pale, 3) for x in range(72, 174, 12))
        return dome + box(56, 142, 128, 40, 14, k.light) + ribs + disc(120, 44, 16, k.accent)
    brim = oval(120, 164, 98, 22, k.dark) + oval(120, 160, 98, 20, k.base)
    crown = path("M72 158 C70 78 88 66 120 66 C152 66 170 78 168 158 C150 170 90 170 72 158 Z", k.light) + path(
        "M140 68 C164 76 170 100 168 158 C160 164 150 166 142 167 C150 130 150 96 140 68 Z", k.base
    )
    return brim + crown + path("M71 138 C92 150 148 150 169 138 V156 C150 168 90 168 71 156 Z", k.accent)


def watch(k: Paint, v: int) -> str:
    strap = (
        path("M96 78 L102 20 H138 L144 78 Z", k.base)
        + path("M96 162 L102 220 H138 L144 162 Z", k.base)
        + path("M124 20 H138 L144 78 H124 Z M124 162 H144 L138 220 H124 Z", k.dark)
    )
    holes = "".join(disc(120, y, 2.5, k.deep) for y in (184, 194, 204))
    case = disc(120, 120, 58, k.steel) + disc(120, 120, 52, k.metal) + disc(120, 120, 45, k.paper if v % 2 else k.ink)
    mark = k.ink if v % 2 else k.paper
    ticks = "".join(tilt(line("M120 80 V86", mark, 3.5), 30 * i) for i in range(12))
    sub = ring(120, 138, 10, mark, 2) if v > 1 else ""
    return (
        strap
        + holes
        + case
        + box(176, 112, 10, 16, 3, k.steel)
        + ticks
        + sub
        + tilt(line("M120 120 V98", mark, 5), -50)
        + tilt(line("M120 120 V86", mark, 3.5), 50)
        + disc(120, 120, 4, k.accent)
    )


def handbag(k: Paint, v: int) -> str:
    handle = line("M86 102 C86 30 154 30 154 102", k.deep, 9)
    body = path("M58 94 H182 L196 186 C196 196 190 200 182 200 H58 C50 200 44 196 44 186 Z", k.base) + path(
        "M156 94 H182 L196 186 C196 196 190 200 182 200 H160 Z", k.dark
    )
    flap = path("M58 94 H182 L186 122 C160 148 80 148 54 122 Z", k.light) if v % 2 else line("M62 112 H178", k.light, 5)
    return handle + body + flap + box(110, 126, 20, 22, 5, k.glow) + disc(120, 136, 3, k.timber)


def sunglasses(k: Paint, v: int) -> str:
    arms = line("M36 102 C28 96 20 92 14 94 M204 102 C212 96 220 92 226 94", k.dark, 9)
    if v % 2:
        lenses = (
            disc(74, 124, 40, k.base)
            + disc(166, 124, 40, k.base)
            + disc(74, 124, 31, k.ink)
            + disc(166, 124, 31, k.ink)
        )
    else:
        shape = "M{a} 92 H{b} C{c} 132 {d} 164 {e} 164 C{f} 164 {g} 132 {a} 92 Z"
        left, right = (
            {"a": 30, "b": 110, "c": 112, "d": 96, "e": 72, "f": 44, "g": 30},
            {"a": 130, "b": 210, "c": 210, "d": 196, "e": 168, "f": 144, "g": 128},
        )
        lenses = path(shape.format(**left), k.base) + path(shape.format(**right), k.base)
        lenses += tilt(
            path(
                "M42 100 H100 C100 132 90 154 72 154 C52 154 44 132 42 100 Z M140 100 H198 C196 132 188 154 168 154 "
                "C150 154 140 132 140 100 Z",
                k.ink,
            ),
            0,
        )
    shine = line("M58 142 L82 108 M150 142 L174 108", "#ffffff66", 6)
    return arms + lenses + line("M108 106 C114 98 126 98 132 106", k.dark, 8) + shine


def umbrella(k: Paint, v: int) -> str:
    stick = line("M120 44 V186 C120 208 150 208 150 188", k.timber, 7)
    canopy = path(
        "M24 126 C28 66 72 40 120 40 C168 40 212 66 216 126 C204 112 180 112 168 126 C156 112 132 112 120 "
        "126 C108 112 84 112 72 126 C60 112 36 112 24 126 Z",
        k.base,
    )
    panel = path("M120 40 C150 60 166 92 168 126 C156 112 132 112 120 126 Z", k.light if v % 2 else k.dark) + path(
        "M120 40 C168 40 212 66 216 126 C204 112 180 112 168 126 C166 92 150 60 120 40 Z", k.dark if v % 2 else k.deep
    )
    drops = (
        "".join(
            path(f"M{x} {y} c-5 8 -5 12 0 12 c5 0 5 -4 0 -12 Z", "#74b3d8")
            for x, y in ((46, 150), (78, 168), (186, 152))
        )
        if v > 1
        else ""
    )
    return stick + canopy + panel + line("M120 40 V28", k.timber, 6) + drops


def wallet(k: Paint, v: int) -> str:
    cards = box(66, 62, 116, 60, 8, k.accent) + box(60, 74, 116, 60, 8, k.paper) + line("M74 90 H110", k.steel, 4)
    body = box(40, 92, 160, 104, 16, k.base) + path(
        "M160 92 h24 a16 16 0 0 1 16 16 v72 a16 16 0 0 1 -16 16 h-24 z", k.dark
    )
    stitch = (
        '<rect x="48" y="100" width="144" height="88" rx="11" fill="none" '
        f'stroke="{k.pale}" stroke-width="2.5" stroke-dasharray="7 6"/>'
    )
    clasp = (
        path("M150 124 h50 v40 h-50 a20 20 0 0 1 0 -40 z", k.light) + disc(154, 144, 7, k.glow)
        if v % 2
        else line("M66 150 H120", k.dark, 4)
    )
    return cards + body + stitch + clasp
