"""Drawings for outdoor, living, kitchen, furniture and garden.

Each takes the paint and a variation from 0 to 3 and fills a 240 × 240 field that stands on the ground at y = 200.
Invariant: a drawing is a pure function of its two arguments. Knows nothing of items.
"""

from __future__ import annotations

from rtp_monolith.demo.ink import Paint, box, disc, line, oval, path, ring, tilt


def tent(k: Paint, v: int) -> str:
    door = path("M120 62 L92 200 L148 200 Z", k.deep) + path("M120 62 L120 200 L148 200 Z", k.ink)
    flap = path("M120 62 L92 200 L72 200 Z", k.pale)
    ropes = line("M58 128 L20 200 M182 128 L220 200", k.steel, 3)
    body = path("M120 54 L32 200 L208 200 Z", k.base) + path("M120 54 L208 200 L168 200 Z", k.dark)
    flag = path("M120 54 V34 L144 42 L120 50 Z", k.accent) if v % 2 else ""
    return ropes + body + path("M120 54 L32 200 L52 200 Z", k.light) + door + flap + flag


def backpack(k: Paint, v: int) -> str:
    roll = box(74, 40, 92, 24, 12, k.accent) if v % 2 else line("M104 56 C104 34 136 34 136 56", k.deep, 8)
    body = box(66, 54, 108, 146, 38, k.base) + path("M136 54 h0 a38 38 0 0 1 38 38 v70 a38 38 0 0 1 -38 38 z", k.dark)
    sides = box(52, 122, 22, 60, 11, k.dark) + box(166, 122, 22, 60, 11, k.deep)
    pocket = box(82, 128, 76, 58, 16, k.light) + line("M92 146 H148", k.dark, 4) + disc(148, 146, 4, k.deep)
    straps = (
        line("M92 62 V118 M148 62 V118", k.deep, 7) + box(86, 92, 12, 12, 3, k.metal) + box(142, 92, 12, 12, 3, k.metal)
    )
    return roll + sides + body + straps + pocket


def sleepingbag(k: Paint, v: int) -> str:
    bag = path("M78 76 C78 30 162 30 162 76 L156 170 C154 206 86 206 84 170 Z", k.base)
    shade = path("M140 46 C156 54 162 64 162 76 L156 170 C155 190 138 197 122 197 C140 150 144 100 140 46 Z", k.dark)
    hood = oval(120, 74, 31, 27, k.deep) + oval(120, 80, 24, 20, k.paper) + oval(120, 78, 17, 9, "#ffffff")
    seams = "".join(line(f"M82 {y} Q120 {y + 12} 158 {y}", k.light, 3.5) for y in (112, 136, 160))
    return tilt(bag + shade + hood + seams + line("M120 102 V178", k.accent, 3.5), 12 - 8 * (v % 3))


def campstove(k: Paint, v: int) -> str:
    flame = path("M120 128 C96 112 108 96 114 84 C118 96 126 92 124 78 C142 92 146 114 120 128 Z", "#f0803c")
    flame += path("M120 128 C108 118 114 108 119 102 C124 108 132 116 120 128 Z", k.glow)
    pot = box(72, 44, 96, 46, 10, k.metal) + box(132, 44, 36, 46, 10, k.steel) + line("M168 58 H202", k.ink, 7)
    pot += box(66, 40, 108, 8, 4, k.steel) + (disc(120, 36, 6, k.ink) if v % 2 else "")
    arms = line("M84 92 L104 128 M156 92 L136 128", k.steel, 6)
    can = box(78, 146, 84, 54, 18, k.base) + box(128, 146, 34, 54, 18, k.dark) + box(104, 126, 32, 24, 6, k.steel)
    return pot + arms + flame + can + box(88, 164, 40, 18, 5, k.pale) + line("M136 138 H172", k.ink, 5)


def lantern(k: Paint, v: int) -> str:
    handle = line("M76 84 C76 22 164 22 164 84", k.steel, 5)
    glass = box(82, 84, 76, 84, 20, "#fff3d0") + oval(120, 128, 20, 26, k.glow) + oval(120, 132, 9, 14, "#ffffff")
    cage = line("M102 84 V168 M138 84 V168", k.steel, 3) if v % 2 else ""
    top = path("M86 84 L98 56 H142 L154 84 Z", k.base) + path("M124 56 H142 L154 84 H128 Z", k.dark)
    return (
        handle
        + glass
        + cage
        + top
        + box(72, 164, 96, 36, 12, k.base)
        + box(122, 164, 46, 36, 12, k.dark)
        + disc(96, 182, 6, k.accent)
    )


def lamp(k: Paint, v: int) -> str:
    light = path("M84 108 H156 L190 200 H50 Z", "#ffe9b055")
    stem = line("M120 108 V188", k.wood if v % 2 else k.steel, 8) + oval(120, 194, 40, 9, k.timber if v % 2 else k.ink)
    shade = path("M90 40 H150 L176 116 H64 Z", k.base) + path("M130 40 H150 L176 116 H138 Z", k.dark)
    pleats = "".join(line(f"M{108 + i * 8} 44 L{96 + i * 16} 112", k.light, 2) for i in range(4)) if v > 1 else ""
    return light + stem + shade + pleats + oval(120, 116, 56, 7, k.glow)


def cushion(k: Paint, v: int) -> str:
    body = path("M50 66 Q120 84 190 66 Q176 126 192 192 Q120 176 48 192 Q64 126 50 66 Z", k.base)
    shade = path("M190 66 Q176 126 192 192 Q150 180 120 180 Q164 140 160 74 Z", k.dark)
    bands = "".join(line(f"M58 {y} Q120 {y + 10} 182 {y}", k.pale, 7) for y in (100, 126, 152)) if v % 2 else ""
    button = (
        ""
        if v % 2
        else disc(120, 128, 8, k.deep)
        + line("M104 116 L112 122 M136 116 L128 122 M104 142 L112 135 M136 142 L128 135", k.dark, 3)
    )
    corners = "".join(disc(x, y, 6, k.accent) for x, y in ((50, 66), (190, 66), (48, 192), (192, 192))) if v > 1 else ""
    return body + shade + bands + button + corners


def vase(k: Paint, v: int) -> str:
    stems = line("M120 96 C118 66 104 50 92 36 M120 96 C122 64 134 46 152 40 M120 96 V26", k.leaf, 4)
    blooms = (
        disc(90, 34, 13, k.accent)
        + disc(154, 38, 12, k.glow)
        + disc(120, 24, 12, "#f4b6a6")
        + disc(90, 34, 5, k.paper)
        + disc(154, 38, 5, k.timber)
    )
    body = path(
        "M102 92 H138 C134 116 172 128 166 162 C162 190 148 200 120 200 C92 200 78 190 74 162 C68 128 106 116 102 92 Z",
        k.base,
    )
    shade = path("M128 92 H138 C134 116 172 128 166 162 C162 190 148 200 128 200 C156 164 130 132 128 92 Z", k.dark)
    ribs = line("M80 150 Q120 164 160 150 M78 168 Q120 182 162 168", k.light, 4) if v % 2 else disc(100, 158, 9, k.pale)
    return stems + blooms + body + shade + ribs + oval(120, 92, 20, 5, k.deep)


def clock(k: Paint, v: int) -> str:
    ticks = "".join(tilt(line("M120 50 V58", k.ink, 4 if i % 3 else 7), 30 * i) for i in range(12))
    hour = tilt(line("M120 120 V84", k.ink, 8), 30 * (v * 2 + 1))
    minute = tilt(line("M120 124 V62", k.ink, 5), 66 + 72 * v)
    return (
        disc(120, 120, 86, k.dark)
        + disc(118, 118, 84, k.base)
        + disc(120, 120, 72, k.paper)
        + ticks
        + hour
        + minute
        + tilt(line("M120 132 V66", k.accent, 2.5), 200 - 40 * v)
        + disc(120, 120, 6, k.accent)
    )


def candle(k: Paint, v: int) -> str:
    flame = (
        oval(120, 56, 30, 36, "#ffd97a40")
        + path("M120 84 C102 72 112 52 120 36 C128 52 138 72 120 84 Z", "#f6a04b")
        + path("M120 84 C112 76 116 66 120 58 C124 66 128 76 120 84 Z", "#fff1c4")
    )
    glass = box(68, 104, 104, 96, 16, k.base) + path(
        "M138 104 h18 a16 16 0 0 1 16 16 v64 a16 16 0 0 1 -16 16 h-18 z", k.dark
    )
    wax = oval(120, 106, 52, 10, k.pale) + oval(120, 106, 34, 6, k.paper)
    label = (
        box(88, 132, 60, 42, 4, k.paper)
        + line("M100 148 H136", k.ink, 4)
        + line(f"M{106 - v * 2} 160 H{130 + v * 2}", k.steel, 3)
    )
    return glass + wax + line("M120 106 V82", k.ink, 3) + flame + label


def mug(k: Paint, v: int) -> str:
    steam = line("M98 58 C90 46 106 40 98 26 M126 58 C118 46 134 40 126 26", k.pale, 5)
    handle = ring(166, 130, 30, k.dark, 13)
    body = path("M62 78 H166 V166 C166 190 152 200 134 200 H94 C76 200 62 190 62 166 Z", k.base)
    shade = path("M140 78 H166 V166 C166 190 152 200 134 200 H124 C142 176 142 120 140 78 Z", k.dark)
    dots = "".join(disc(80 + 23 * (i % 3), 122 + 26 * (i // 3) + 6 * (i % 2), 4.5, k.pale) for i in range(6))
    band = {
        0: dots,
        1: box(62, 150, 104, 18, 0, k.pale),
        2: line("M66 132 Q88 118 114 132 T162 132", k.pale, 6),
        3: "",
    }[v % 4]
    return steam + handle + body + shade + band + oval(114, 78, 52, 10, k.deep) + oval(114, 80, 42, 6, "#6d4630")


def knife(k: Paint, v: int) -> str:
    belly = (150, 162, 140, 156)[v % 4]
    blade = path(f"M30 118 H142 V146 C100 {belly} 58 146 30 118 Z", k.metal) + path(
        f"M30 118 C58 146 100 {belly} 142 146 V138 C100 140 62 136 30 118 Z", "#e9edf0"
    )
    handle = box(142, 112, 76, 32, 12, k.base) + path(
        "M150 128 H218 a12 12 0 0 1 -12 16 H154 a12 12 0 0 1 -4 -4 Z", k.dark
    )
    rivets = "".join(disc(x, 127, 4, k.paper) for x in (162, 180, 198))
    return tilt(blade + box(138, 110, 10, 38, 3, k.steel) + handle + rivets, -34)


def pan(k: Paint, v: int) -> str:
    handle = tilt(box(176, 108, 66, 20, 10, k.wood if v % 2 else k.ink) + disc(232, 118, 4, k.paper), -30, 104, 128)
    egg = (
        path("M78 120 C74 92 116 96 122 108 C146 106 150 142 128 148 C110 166 70 152 78 120 Z", "#ffffff")
        + disc(108, 128, 15, "#f6b93b")
        + disc(103, 123, 4, "#fbd77f")
    )
    return (
        handle
        + disc(104, 130, 80, k.dark)
        + disc(102, 128, 78, k.base)
        + disc(104, 130, 62, k.deep)
        + disc(104, 132, 58, mix_iron(v))
        + (egg if v > 1 else ring(104, 132, 34, "#ffffff22", 3))
    )


def mix_iron(v: int) -> str:
    return ("#3a3f46", "#4a4641", "#3d4540", "#44403f")[v % 4]


def kettle(k: Paint, v: int) -> str:
    spout = (
        line("M158 150 C196 150 178 96 208 86", k.dark, 11)
        if v % 2
        else path("M150 110 L208 84 L204 104 L160 150 Z", k.dark)
    )
    body = path("M62 200 C52 150 68 104 112 104 C156 104 172 150 162 200 Z", k.base)
    shade = path("M128 106 C160 116 170 156 162 200 H130 C146 170 142 130 128 106 Z", k.dark)
    handle = line("M80 108 C64 40 158 40 144 108", k.timber, 9)
    return (
        spout
        + handle
        + body
        + shade
        + box(84, 96, 56, 12, 6, k.light)
        + disc(112, 90, 8, k.timber)
        + path("M76 190 C72 160 78 136 90 124 C84 150 84 170 88 190 Z", k.light)
    )


def moka(k: Paint, v: int) -> str:
    handle = line("M154 72 C196 72 190 116 176 132", k.ink, 11)
    top = (
        path("M84 58 H156 L146 122 H94 Z", k.metal)
        + path("M130 58 H156 L146 122 H128 Z", k.steel)
        + path("M84 58 L62 66 L88 84 Z", k.steel)
    )
    lid = path("M82 58 L120 36 L158 58 Z", k.base) + disc(120, 34, 7, k.ink)
    base = (
        path("M94 134 H146 L164 200 H76 Z", k.base)
        + path("M128 134 H146 L164 200 H132 Z", k.dark)
        + path("M98 134 H108 L98 200 H82 Z", k.light)
    )
    steam = line("M70 46 C62 36 78 30 70 18", k.pale, 4) if v % 2 else ""
    return handle + top + lid + base + box(90, 120, 60, 16, 4, k.steel) + disc(108, 172, 5, k.metal) + steam


def chair(k: Paint, v: int) -> str:
    legs = line("M82 138 L72 200 M158 138 L168 200 M94 140 L92 190 M146 140 L148 190", k.wood, 8)
    if v % 2:
        back = (
            line("M82 132 V48 M158 132 V48", k.timber, 8)
            + "".join(line(f"M{x} 60 V126", k.wood, 5) for x in (101, 120, 139))
            + box(74, 38, 92, 24, 12, k.base)
        )
    else:
        back = path("M74 126 C66 60 84 36 120 36 C156 36 174 60 166 126 Z", k.base) + path(
            "M134 38 C162 46 172 72 166 126 H140 C148 92 146 62 134 38 Z", k.dark
        )
    return legs + back + path("M68 126 H172 L180 146 H60 Z", k.light) + path("M60 146 H180 L176 156 H64 Z", k.dark)


def sofa(k: Paint, v: int) -> str:
    feet = box(44, 182, 10, 20, 3, k.timber) + box(186, 182, 10, 20, 3, k.timber)
    back = box(40, 78, 160, 84, 22, k.dark)
    seats = box(50, 92, 68, 60, 14, k.base) + box(122, 92, 68, 60, 14, k.base)
    arms = box(22, 112, 40, 76, 18, k.base) + box(178, 112, 40, 76, 18, k.dark) + box(22, 112, 16, 76, 8, k.light)
    seat = box(54, 142, 132, 30, 12, k.light) + box(48, 164, 144, 24, 8, k.dark) + line("M120 146 V168", k.dark, 3)
    pillow = tilt(box(62, 104, 44, 40, 8, k.accent), -10, 84, 124) if v % 2 else ""
    return feet + back + seats + pillow + seat + arms


def desk(k: Paint, v: int) -> str:
    legs = line("M48 112 L38 200 M192 112 L202 200", k.wood if v % 2 else k.ink, 8)
    top = box(24, 98, 192, 16, 5, k.wood) + box(24, 108, 192, 6, 3, k.timber)
    drawers = (
        box(128, 114, 62, 34, 4, k.base)
        + line("M148 131 H170", k.paper, 4)
        + (box(66, 114, 58, 34, 4, k.light) + line("M84 131 H106", k.paper, 4) if v > 1 else "")
    )
    things = (
        box(48, 62, 50, 34, 4, k.ink)
        + box(52, 66, 42, 26, 2, k.pale)
        + box(68, 94, 10, 6, 1, k.ink)
        + path("M150 98 V76 h18 V98 Z", k.accent)
        + line("M155 74 L150 52 M162 74 L168 50", k.leaf, 4)
    )
    return legs + things + top + drawers


def bookcase(k: Paint, v: int) -> str:
    frame = box(56, 26, 128, 174, 6, k.timber) + "".join(box(64, y, 112, 44, 2, k.deep) for y in (34, 90, 146))
    books = []
    tones = (k.base, k.light, k.accent, k.paper, k.pale)
    for row, y in enumerate((34, 90, 146)):
        x = 68
        for i in range(5 + (v + row) % 3):
            tall = 28 + (i * 7 + row * 5 + v * 3) % 14
            books.append(box(x, y + 44 - tall, 11, tall, 1.5, tones[(i + row + v) % 5]))
            x += 13
    return frame + "".join(books) + disc(164, 124, 8, k.glow) + box(56, 192, 128, 8, 3, k.wood)


def plant(k: Paint, v: int) -> str:
    leaves = "".join(
        tilt(
            path("M120 132 C84 108 92 62 120 34 C148 62 156 108 120 132 Z", tone)
            + line("M120 128 V60", "#ffffff44", 2.5),
            angle,
            120,
            140,
        )
        for angle, tone in (
            (-66, "#3f7a4e"),
            (62, "#4d8a55"),
            (-34, "#5d9b5d"),
            (34, "#3f7a4e"),
            (0 + v * 3, "#6dad69"),
        )
    )
    pot = (
        path("M78 136 H162 L152 200 H88 Z", k.base)
        + path("M134 136 H162 L152 200 H132 Z", k.dark)
        + box(72, 128, 96, 18, 6, k.light)
    )
    return leaves + pot


def wateringcan(k: Paint, v: int) -> str:
    spout = line("M148 160 L200 92", k.dark, 12) + tilt(
        box(186, 80, 34, 12, 4, k.light), -38 if v % 2 else -30, 202, 88
    )
    handle = line("M64 116 C20 104 26 186 66 176", k.dark, 9) + line("M74 100 C88 58 138 62 146 104", k.dark, 8)
    body = box(56, 104, 100, 96, 16, k.base) + path(
        "M124 104 h16 a16 16 0 0 1 16 16 v64 a16 16 0 0 1 -16 16 h-16 z", k.dark
    )
    drops = "".join(
        path(f"M{x} {y} c-6 9 -6 14 0 14 c6 0 6 -5 0 -14 Z", "#74b3d8") for x, y in ((208, 112), (220, 128), (200, 134))
    )
    return handle + spout + body + box(66, 126, 12, 54, 6, k.light) + oval(106, 106, 46, 7, k.deep) + drops


def trowel(k: Paint, v: int) -> str:
    blade = path("M104 106 H136 C150 138 142 178 120 204 C98 178 90 138 104 106 Z", k.metal) + path(
        "M120 106 H136 C150 138 142 178 120 204 Z", k.steel
    )
    handle = (
        box(106, 20, 28, 66, 13, k.base)
        + path("M120 20 a14 14 0 0 1 14 14 v38 a14 14 0 0 1 -14 14 z", k.dark)
        + box(106, 66, 28, 8, 2, k.pale)
    )
    tines = line("M120 120 V190", k.paper, 3) if v % 2 else ""
    return tilt(line("M120 84 V112", k.steel, 9) + blade + tines + handle + disc(120, 30, 4, k.paper), 32)


def birdhouse(k: Paint, v: int) -> str:
    post = box(113, 184, 14, 24, 2, k.timber)
    front = path("M66 100 L120 52 L174 100 V190 H66 Z", k.base) + path("M120 52 L174 100 V190 H140 V80 Z", k.dark)
    planks = line("M66 130 H174 M66 160 H174", k.dark, 2) if v % 2 else ""
    roof = line("M50 108 L120 44 L190 108", k.timber, 15)
    hole = disc(120, 122, 21, k.ink) + line("M120 158 V158", k.timber, 10)
    bird = (
        oval(152, 168, 17, 12, k.accent)
        + disc(166, 160, 8, k.accent)
        + path("M173 158 L182 161 L173 164 Z", "#e8963a")
        + disc(168, 158, 1.8, k.ink)
        if v > 1
        else ""
    )
    return post + front + planks + roof + hole + bird
