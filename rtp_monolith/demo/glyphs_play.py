"""Drawings for music, electronics, sports and toys, and the parcel that stands for anything else.

Each takes the paint and a variation from 0 to 3 and fills a 240 × 240 field that stands on the ground at y = 200.
Invariant: a drawing is a pure function of its two arguments. Knows nothing of items.
"""

from __future__ import annotations

from rtp_monolith.demo.ink import Paint, box, disc, line, oval, path, ring, tilt


def guitar(k: Paint, v: int) -> str:
    neck = (
        box(112, 14, 16, 106, 3, k.timber)
        + box(106, 8, 28, 26, 5, k.ink)
        + "".join(line(f"M113 {y} H127", k.metal, 2) for y in (46, 60, 74, 88, 102))
    )
    pegs = "".join(disc(x, y, 3.5, k.metal) for x in (102, 138) for y in (14, 26))
    body = path(
        "M120 96 C154 92 164 118 154 134 C180 150 176 204 120 204 C64 204 60 150 86 134 C76 118 86 92 120 96 Z", k.base
    )
    shade = path(
        "M134 97 C158 98 163 120 154 134 C180 150 176 204 124 204 C160 186 160 150 138 136 C148 122 146 106 134 97 Z",
        k.dark,
    )
    guard = path("M134 132 C150 140 152 158 140 168 C136 152 134 146 134 132 Z", k.deep) if v % 2 else ""
    strings = line("M116 30 V180 M120 30 V180 M124 30 V180", k.paper, 1.2)
    return tilt(
        body
        + shade
        + guard
        + disc(120, 144, 18, k.ink)
        + ring(120, 144, 20, k.wood, 3)
        + box(100, 176, 40, 8, 3, k.ink)
        + neck
        + pegs
        + strings,
        24,
    )


def piano(k: Paint, v: int) -> str:
    stand = line("M66 150 L170 204 M174 150 L70 204", k.steel, 7)
    case = box(18, 88, 204, 66, 10, k.base) + box(18, 88, 204, 22, 10, k.dark)
    knobs = "".join(disc(36 + 16 * i, 99, 4.5, k.accent if i == v else k.metal) for i in range(4)) + box(
        130, 93, 56, 12, 3, k.pale
    )
    white = "".join(box(28 + 18.4 * i, 112, 17, 38, 2, k.paper) for i in range(10))
    black = "".join(box(39.5 + 18.4 * i, 112, 11, 23, 2, k.ink) for i in range(9) if i % 7 not in (2, 6))
    return stand + case + knobs + white + black


def drum(k: Paint, v: int) -> str:
    shell = path("M46 92 V166 C46 186 194 186 194 166 V92 Z", k.base) + path(
        "M150 104 V180 C178 178 194 172 194 166 V92 Z", k.dark
    )
    lugs = (
        "".join(line(f"M{x} 112 V166", k.metal, 5) for x in (70, 104, 138, 172))
        if v % 2
        else line("M46 108 L74 172 L104 116 L134 176 L164 116 L194 160", k.paper, 4)
    )
    hoops = path("M42 160 C42 186 198 186 198 160 V172 C198 198 42 198 42 172 Z", k.metal)
    head = oval(120, 92, 78, 24, k.steel) + oval(120, 89, 72, 20, k.paper)
    sticks = line("M64 40 L132 86 M182 36 L118 80", k.wood, 7) + disc(132, 86, 6, k.timber) + disc(118, 80, 6, k.timber)
    return shell + lugs + hoops + head + sticks


def microphone(k: Paint, v: int) -> str:
    stand = line("M120 150 V190", k.steel, 8) + oval(120, 196, 46, 8, k.ink)
    cradle = line("M74 92 V104 C74 164 166 164 166 104 V92", k.dark, 8)
    body = box(88, 30, 64, 110, 32, k.metal) + path("M120 30 a32 32 0 0 1 32 32 v46 a32 32 0 0 1 -32 32 z", k.steel)
    mesh = "".join(line(f"M92 {y} H148", "#ffffff88", 2.5) for y in (50, 60, 70, 80))
    band = (
        box(88, 90, 64, 50, 24, k.base)
        + box(88, 90, 64, 24, 0, k.base)
        + path("M124 90 h28 v24 a32 32 0 0 1 -28 26 z", k.dark)
    )
    return stand + cradle + body + mesh + band + disc(120, 106, 5, k.accent if v % 2 else k.paper)


def vinyl(k: Paint, v: int) -> str:
    record = (
        disc(140, 120, 84, k.ink)
        + "".join(ring(140, 120, r, "#ffffff1c", 2) for r in (74, 64, 54, 44))
        + disc(140, 120, 28, k.accent)
        + disc(140, 120, 4, k.paper)
    )
    sleeve = box(22, 36, 150, 168, 4, k.base)
    art = {
        0: disc(97, 120, 48, k.light) + path("M49 120 a48 48 0 0 0 96 0 z", k.dark),
        1: "".join(line(f"M36 {y} Q66 {y - 22} 97 {y} T158 {y}", k.pale, 6) for y in (90, 116, 142, 168)),
        2: path("M22 204 L97 84 L172 204 Z", k.dark) + disc(130, 78, 18, k.glow),
        3: "".join(
            box(36 + 21 * i, 180 - 18 * ((i * 3 + 2) % 5 + 1), 13, 18 * ((i * 3 + 2) % 5 + 1), 2, k.pale)
            for i in range(6)
        ),
    }[v % 4]
    return record + sleeve + art + line("M36 52 H92", k.paper, 6) + line("M36 66 H70", k.pale, 4)


def headphones(k: Paint, v: int) -> str:
    band = line("M54 134 C54 20 186 20 186 134", k.dark, 14) + line(
        "M62 112 C70 40 170 40 178 112", k.light if v % 2 else k.base, 5
    )
    cups = (
        box(34, 118, 46, 78, 22, k.base)
        + box(160, 118, 46, 78, 22, k.base)
        + box(70, 124, 20, 66, 10, k.ink)
        + box(150, 124, 20, 66, 10, k.ink)
    )
    return (
        band
        + cups
        + disc(54, 158, 11, k.light)
        + disc(186, 158, 11, k.dark)
        + disc(54, 158, 4, k.accent)
        + disc(186, 158, 4, k.accent)
    )


def speaker(k: Paint, v: int) -> str:
    if v % 2:
        body = box(72, 30, 96, 170, 12, k.wood) + box(80, 38, 80, 154, 8, k.base)
        return (
            body
            + disc(120, 74, 22, k.ink)
            + disc(120, 74, 9, k.steel)
            + disc(120, 142, 34, k.ink)
            + ring(120, 142, 24, k.steel, 3)
            + disc(120, 142, 12, k.steel)
            + path("M148 38 h4 a8 8 0 0 1 8 8 v138 a8 8 0 0 1 -8 8 h-4 z", k.dark)
        )
    mesh = "".join(disc(70 + 15 * i, 118 + 15 * j, 2.6, k.deep) for i in range(7) for j in range(5))
    return (
        line("M84 92 C84 60 156 60 156 92", k.timber, 8)
        + box(42, 88, 156, 112, 30, k.base)
        + path("M160 88 h8 a30 30 0 0 1 30 30 v52 a30 30 0 0 1 -30 30 h-8 z", k.dark)
        + mesh
        + box(98, 96, 44, 7, 3.5, k.pale)
        + disc(176, 182, 4, k.accent)
    )


def camera(k: Paint, v: int) -> str:
    top = path("M88 76 L98 54 H142 L152 76 Z", k.metal) + box(42, 62, 34, 18, 5, k.steel) + disc(182, 68, 10, k.steel)
    body = (
        box(26, 72, 188, 124, 20, k.metal) + box(26, 104, 188, 66, 0, k.base) + path("M160 104 h54 v66 h-54 z", k.dark)
    )
    lens = (
        disc(120, 136, 52, k.ink)
        + ring(120, 136, 46, k.steel, 4)
        + disc(120, 136, 33, k.deep)
        + disc(120, 136, 22, "#16202c")
        + disc(110, 125, 8, "#ffffffaa")
        + disc(130, 146, 4, "#ffffff55")
    )
    return top + body + lens + box(176, 84, 24, 12, 3, k.paper) + disc(48, 90, 6, k.accent if v % 2 else k.glow)


def laptop(k: Paint, v: int) -> str:
    screen = box(44, 46, 152, 116, 10, k.ink) + box(52, 54, 136, 98, 4, k.base)
    wall = {
        0: path("M52 152 L96 96 L122 126 L148 88 L188 152 Z", k.dark) + disc(78, 78, 11, k.glow),
        1: disc(120, 103, 34, k.light) + disc(132, 94, 30, k.base),
        2: path("M52 120 Q90 90 120 116 T188 104 V152 H52 Z", k.light)
        + path("M52 136 Q92 112 126 134 T188 126 V152 H52 Z", k.dark),
        3: box(66, 70, 60, 8, 4, k.paper)
        + box(66, 86, 92, 8, 4, k.pale)
        + box(66, 102, 76, 8, 4, k.pale)
        + box(66, 118, 40, 8, 4, k.accent),
    }[v % 4]
    return (
        screen
        + wall
        + path("M28 162 H212 L226 188 C226 194 222 196 216 196 H24 C18 196 14 194 14 188 Z", k.metal)
        + path("M14 186 H226 C226 194 222 196 216 196 H24 C18 196 14 194 14 186 Z", k.steel)
        + box(98, 164, 44, 8, 4, k.steel)
    )


def phone(k: Paint, v: int) -> str:
    back = tilt(
        box(92, 26, 88, 172, 18, k.base)
        + box(102, 38, 40, 42, 12, k.dark)
        + disc(113, 50, 7, k.ink)
        + disc(131, 50, 7, k.ink)
        + disc(113, 68, 7, k.ink)
        + disc(131, 68, 3.5, k.glow),
        9,
    )
    front = box(58, 28, 90, 174, 18, k.ink) + box(64, 34, 78, 162, 13, k.pale)
    apps = "".join(
        box(74 + 21 * (i % 3), 92 + 24 * (i // 3), 15, 15, 4.5, (k.base, k.accent, k.light, k.dark)[(i + v) % 4])
        for i in range(9)
    )
    return (
        back
        + front
        + box(90, 40, 26, 7, 3.5, k.ink)
        + box(74, 58, 58, 22, 6, k.paper)
        + apps
        + box(84, 186, 38, 4, 2, k.ink)
    )


def bicycle(k: Paint, v: int) -> str:
    def wheel(x: int) -> str:
        spokes = "".join(tilt(line(f"M{x} 116 V188", k.metal, 1.4), 30 * i, x, 152) for i in range(6))
        return ring(x, 152, 42, k.ink, 8) + ring(x, 152, 37, k.steel, 2) + spokes + disc(x, 152, 5, k.steel)

    bars = line("M156 78 C172 66 182 74 178 88", k.ink, 6) if v % 2 else line("M140 72 H172", k.ink, 6)
    frame = line("M62 152 L92 96 L156 96 L116 152 Z M92 96 L116 152 M62 152 H116", k.base, 8) + line(
        "M182 152 L156 78", k.dark, 7
    )
    basket = path("M168 84 H210 L202 112 H176 Z", k.wood) if v > 1 else ""
    return (
        wheel(60)
        + wheel(182)
        + basket
        + frame
        + line("M92 96 L88 82", k.dark, 6)
        + box(70, 74, 38, 9, 4.5, k.timber)
        + bars
        + disc(116, 152, 11, k.steel)
        + line("M116 152 L126 170 M120 172 H134", k.ink, 5)
    )


def ball(k: Paint, v: int) -> str:
    if v % 2:
        lines = line(
            "M36 120 H204 M120 36 V204 M62 60 C100 92 100 148 62 180 M178 60 C140 92 140 148 178 180", k.deep, 5
        )
        return disc(120, 120, 84, k.base) + path("M120 36 a84 84 0 0 1 0 168 a110 110 0 0 0 0 -168 z", k.dark) + lines
    patches = path("M120 92 L148 112 L137 145 H103 L92 112 Z", k.base)
    rays = "".join(
        tilt(
            line("M120 92 V62", k.ink, 4) + path("M98 46 C112 38 128 38 142 46 L136 64 L120 70 L104 64 Z", k.base),
            72 * i,
        )
        for i in range(5)
    )
    return disc(120, 120, 84, k.steel) + disc(118, 118, 82, k.paper) + rays + patches


def yogamat(k: Paint, v: int) -> str:
    sheet = path("M44 168 L150 70 L226 104 L130 206 Z", k.light) + "".join(
        line(f"M{62 + 22 * i} {152 - 20 * i} L{142 + 20 * i} {190 - 20 * i}", k.base, 2) for i in range(4)
    )
    roll = path("M28 130 L128 44 C150 36 164 58 150 74 L56 168 C34 172 18 152 28 130 Z", k.base) + path(
        "M56 168 L150 74 C156 66 156 58 152 52 L44 154 Z", k.dark
    )
    spiral = tilt(oval(42, 150, 20, 25, k.dark), 35, 42, 150) + ring(42, 150, 13, k.pale, 3) + disc(42, 150, 5, k.pale)
    strap = (
        line("M84 82 C104 86 116 100 116 114", k.accent, 7)
        if v % 2
        else line("M64 100 C82 104 94 116 96 132 M104 64 C122 68 134 80 136 94", k.accent, 6)
    )
    return sheet + roll + spiral + strap


def dumbbell(k: Paint, v: int) -> str:
    if v == 3:
        bell = disc(120, 144, 56, k.base) + path("M120 88 a56 56 0 0 1 0 112 a90 90 0 0 0 0 -112 z", k.dark)
        return (
            line("M88 104 C76 36 164 36 152 104", k.ink, 15)
            + bell
            + disc(120, 146, 24, k.paper)
            + line("M112 138 V156 M120 138 V156 M128 138 V156", k.ink, 4)
        )
    bar = box(70, 110, 100, 20, 8, k.metal) + "".join(line(f"M{x} 112 V128", k.steel, 2) for x in range(98, 146, 6))
    plates = (
        box(34, 78, 26, 84, 8, k.dark)
        + box(54, 62, 30, 116, 10, k.base)
        + box(156, 62, 30, 116, 10, k.base)
        + box(180, 78, 26, 84, 8, k.dark)
    )
    return tilt(bar + plates + box(74, 62, 10, 116, 5, k.dark) + box(156, 62, 10, 116, 5, k.light), -18 + 6 * v)


def skateboard(k: Paint, v: int) -> str:
    wheels = "".join(disc(x, 160, 16, k.paper) + disc(x, 160, 6, k.steel) for x in (74, 166))
    trucks = path("M60 138 H88 L80 154 H68 Z M152 138 H180 L172 154 H160 Z", k.steel)
    deck = path(
        "M14 106 C20 128 34 132 52 132 H188 C206 132 220 128 226 106 C230 128 216 148 190 148 H50 C24 148 "
        "10 128 14 106 Z",
        k.base,
    ) + line("M52 146 H190", k.wood, 5)
    art = "".join(line(f"M{70 + 22 * i} 140 h10", k.accent if i == v else k.pale, 5) for i in range(5))
    return tilt(trucks + wheels + deck + art, -8)


def racket(k: Paint, v: int) -> str:
    strings = "".join(
        line(f"M{x} 40 V134 M74 {y} H166", k.pale, 1.8)
        for x, y in zip(range(84, 164, 12), range(46, 136, 14), strict=True)
    )
    frame = f'<ellipse cx="120" cy="86" rx="52" ry="62" fill="none" stroke="{k.base}" stroke-width="11"/>'
    throat = (
        line("M92 138 L114 168 M148 138 L126 168", k.dark, 9)
        + box(111, 158, 18, 62, 7, k.ink)
        + line("M112 180 L128 174 M112 194 L128 188 M112 208 L128 202", k.steel, 3)
    )
    felt = disc(190, 172, 21, "#d3e04f") + line(
        "M174 160 C186 164 188 180 180 190 M206 158 C196 166 196 178 204 186", k.paper, 3
    )
    return tilt(strings + frame + throat, 22) + (felt if v % 2 else "")


def blocks(k: Paint, v: int) -> str:
    arch = path("M36 200 V150 H104 V200 H88 C88 176 52 176 52 200 Z", k.light)
    cubes = (
        box(108, 142, 58, 58, 5, k.base)
        + path("M148 142 h13 a5 5 0 0 1 5 5 v48 a5 5 0 0 1 -5 5 h-13 z", k.dark)
        + box(64, 94, 54, 54, 5, k.accent)
    )
    roof = path("M120 142 L148 96 L176 142 Z", k.glow) if v % 2 else disc(144, 118, 24, k.glow)
    top = path("M66 94 L91 50 L116 94 Z", "#d9694f") if v < 2 else box(74, 54, 34, 40, 4, "#d9694f")
    return arch + cubes + roof + top + box(172, 160, 30, 40, 4, k.leaf) + disc(91, 121, 10, k.paper)


def bear(k: Paint, v: int) -> str:
    ears = "".join(disc(x, 54, 24, k.base) + disc(x, 54, 12, k.pale) for x in (78, 162))
    body = oval(120, 164, 52, 44, k.base) + oval(120, 170, 30, 30, k.pale)
    limbs = (
        oval(66, 152, 18, 28, k.dark)
        + oval(174, 152, 18, 28, k.dark)
        + oval(84, 194, 24, 15, k.dark)
        + oval(156, 194, 24, 15, k.dark)
    )
    head = oval(120, 88, 56, 50, k.base) + oval(120, 104, 25, 20, k.paper)
    eyes = (
        line("M92 84 q6 6 12 0 M136 84 q6 6 12 0", k.ink, 4)
        if v % 2
        else disc(98, 84, 5, k.ink) + disc(142, 84, 5, k.ink)
    )
    bow = (
        path("M120 138 L98 126 V150 Z M120 138 L142 126 V150 Z", k.accent) + disc(120, 138, 6, k.accent)
        if v > 1
        else ""
    )
    return (
        limbs
        + body
        + ears
        + head
        + eyes
        + oval(120, 97, 9, 6, k.ink)
        + line("M120 103 V110 M112 114 q8 5 16 0", k.ink, 3)
        + bow
    )


def dice(k: Paint, v: int) -> str:
    board = (
        path("M20 156 L120 118 L220 156 L120 202 Z", k.wood)
        + path("M44 157 L120 128 L196 157 L120 190 Z", k.paper)
        + line("M82 142 L158 174 M158 142 L82 174", k.wood, 3)
    )
    cube = box(58, 56, 74, 74, 14, k.base) + path("M112 56 h6 a14 14 0 0 1 14 14 v46 a14 14 0 0 1 -14 14 h-6 z", k.dark)
    pips = "".join(disc(x, y, 6.5, k.paper) for x, y in ((76, 74), (114, 112), (95, 93), (114, 74), (76, 112))[: v + 2])
    pawn = (
        disc(170, 92, 18, k.accent) + path("M160 106 H180 L192 152 H148 Z", k.accent) + oval(170, 152, 24, 8, k.accent)
    )
    return board + tilt(cube + pips, -9, 95, 93) + pawn


def train(k: Paint, v: int) -> str:
    track = line("M18 200 H222", k.timber, 7)
    cab = box(132, 66, 66, 106, 8, k.base) + box(146, 82, 38, 34, 5, "#dcebf2") + box(122, 54, 86, 16, 6, k.dark)
    boiler = (
        box(40, 108, 102, 64, 20, k.light)
        + box(78, 108, 10, 64, 0, k.accent)
        + path("M58 108 V76 H52 L48 62 H88 L84 76 H78 V108 Z", k.ink)
    )
    wheels = "".join(disc(x, 178, 22, k.ink) + disc(x, 178, 9, k.glow) for x in (68, 118, 170)) + path(
        "M40 158 L18 190 H46 Z", k.dark
    )
    smoke = disc(66, 42, 13, k.pale) + disc(86, 28, 17, k.pale) + (disc(114, 22, 12, k.pale) if v % 2 else "")
    return track + smoke + boiler + cab + wheels


def puzzle(k: Paint, v: int) -> str:
    piece = "M48 66 H92 C82 40 124 40 114 66 H160 V108 C186 98 186 142 160 132 V178 H48 V132 C74 142 74 98 48 108 Z"
    lone = "M0 0 H26 C20 -15 46 -15 40 0 H66 V24 C82 18 82 46 66 40 V66 H0 Z"
    main = path(piece, k.base) + path(
        "M126 66 H160 V108 C186 98 186 142 160 132 V178 H122 C140 140 140 104 126 66 Z", k.dark
    )
    art = path("M48 178 L86 128 L108 152 L128 132 L160 178 Z", k.light) + disc(82, 92, 10, k.glow)
    return tilt(main + art, -8 + 3 * v) + f'<g transform="translate(150 132) rotate(16)">{path(lone, k.accent)}</g>'


def parcel(k: Paint, v: int) -> str:
    tape = box(108, 78, 24, 122, 0, k.accent if v % 2 else k.pale)
    return (
        box(44, 78, 152, 122, 8, k.wood)
        + box(150, 78, 46, 122, 8, k.timber)
        + tape
        + path("M44 86 L62 54 H178 L196 86 Z", k.base)
        + path("M108 54 H132 V86 H108 Z", k.light)
    )
