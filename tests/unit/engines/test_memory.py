"""How large tiles may be."""

import pytest

from superres.engines.memory import EAGER, REMEMBERED, DeviceMemory, TileMemory

GIB = 1 << 30


def test_on_a_processor_caches_and_the_ceiling_decide():
    memory = TileMemory(2)
    assert memory.area(50_176, 6592, 4, GIB) == 50_176
    assert memory.area(50_176, 6592, 4, 2 * 6592 * 10_000) == 10_000
    assert TileMemory(2, 2).area(50_176, 6592, 4, 2 * 6592 * 10_000) == 5_000
    assert memory.held(10_000, 6592, 4) == 2 * 6592 * 10_000
    assert memory.tiles == 2


def test_on_a_device_its_own_memory_decides_and_caches_do_not():
    large, small = DeviceMemory(80 * GIB, 3), DeviceMemory(4 * GIB, 3)
    assert large.area(50_176, 6592, 4, GIB) > 500_000
    assert 50_176 < small.area(50_176, 6592, 4, GIB) < large.area(50_176, 6592, 4, GIB)
    assert small.area(50_176, 6592, 4, GIB) * 6592 * EAGER < 4 * GIB
    assert large.area(1 << 24, 600, 4, 1 << 50) == 1 << 24  # one that takes no tiles
    assert large.tiles == 1  # one is computed at a time, so one large tile is best


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_device_does_not_fill_the_computers_memory(scale):
    memory = DeviceMemory(1 << 40, 3)
    area = memory.area(50_176, 1000, scale, GIB)
    assert memory.held(area, 1000, scale) <= GIB
    assert memory.area(50_176, 1000, scale, GIB // 100) < area


@pytest.mark.parametrize("memory", [TileMemory(2), DeviceMemory(80 * GIB, 3)])
def test_what_did_not_fit_is_remembered_for_every_network(memory):
    before = memory.area(50_176, 6000, 4, GIB)
    memory.did_not_fit(before, 6000)
    assert memory.area(50_176, 6000, 4, GIB) == before // 2
    assert memory.area(50_176, 12_000, 4, GIB) <= before // 4
    memory.did_not_fit(before, 6000)  # by another thread, which began at the same time
    assert memory.area(50_176, 6000, 4, GIB) == before // 2
    assert memory.area(50_176, 60, 4, GIB) >= 50_176  # a network that takes little is not hurt


def test_and_forgotten_when_whoever_had_the_memory_may_be_gone():
    clock = [0.0]
    memory = TileMemory(1, now=lambda: clock[0])
    memory.did_not_fit(1000, 100)
    clock[0] = REMEMBERED - 1
    assert memory.area(1000, 100, 4, GIB) == 500
    memory.did_not_fit(500, 100)
    clock[0] += REMEMBERED - 1
    assert memory.area(1000, 100, 4, GIB) == 250
    clock[0] += 2
    assert memory.area(1000, 100, 4, GIB) == 1000
    memory.did_not_fit(1000, 100)
    assert memory.area(1000, 100, 4, GIB) == 500
