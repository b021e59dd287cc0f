# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from the model beyond the recorded conversation."""

from __future__ import annotations

from typing import Any

import pytest

CARD = "dom0+00_01.0-00_00.0+0x10de+0x2504++p030000"


def error(reply: bytes) -> tuple[str, str]:
    """Type and text of an error."""
    two, kind, traceback, text, end = reply.decode().split("\0")
    assert (two, traceback, end) == ("2", "", "")
    return kind, text


def value(sandbox: Any, qube: str, name: str) -> str:
    """A property, with ``*`` before a default one."""
    head, kind, text = sandbox.ok(f"admin.vm.property.Get+{name}", qube).split(" ", 2)
    assert kind.startswith("type=")
    return ("*" if head == "default=True" else "") + text


def test_defaults_come_from_the_template(sandbox: Any) -> None:
    for name, text in (("memory", "600"), ("vcpus", "3"), ("kernel", "pvgrub2-pvh"),
                       ("virt_mode", "pv"), ("qrexec_timeout", "90"), ("default_user", "me"),
                       ("kernelopts", "quiet")):  # fmt: skip
        sandbox.ok(f"admin.vm.property.Set+{name}", "debian-12-xfce", text)
        assert value(sandbox, "work", name) == f"*{text}"
    assert value(sandbox, "work", "maxmem") == "*6000"
    sandbox.ok("admin.property.Set+default_kernel", payload="pvgrub2-pvh")
    assert value(sandbox, "personal", "kernel") == "*pvgrub2-pvh"


def test_pci_devices_turn_balancing_off_and_hvm_on(sandbox: Any) -> None:
    sandbox.ok("admin.vm.device.pci.Assign+" + CARD, "work", "mode='required'")
    assert value(sandbox, "work", "virt_mode") == "*hvm"
    assert value(sandbox, "work", "maxmem") == "*0"
    sandbox.ok("admin.vm.device.pci.Unassign+" + CARD, "work")
    assert value(sandbox, "work", "virt_mode") == "*pvh"
    assert value(sandbox, "work", "maxmem") == "*4000"


def test_switching_meminfo_writer_off_never_sticks(sandbox: Any) -> None:
    sandbox.ok("admin.vm.feature.Set+service.meminfo-writer", "work", "")
    assert sandbox.ok("admin.vm.feature.List", "work") == ""
    assert value(sandbox, "work", "maxmem") == "0"
    sandbox.ok("admin.vm.feature.Set+service.meminfo-writer", "personal", "1")
    assert sandbox.ok("admin.vm.feature.List", "personal") == "service.meminfo-writer\n"


def test_tags_follow_guivm_and_audiovm(sandbox: Any) -> None:
    sandbox.ok("admin.vm.property.Set+guivm", "work", "sys-net")
    sandbox.ok("admin.vm.property.Set+audiovm", "work", "")
    assert sandbox.ok("admin.vm.tag.List", "work") == "guivm-sys-net\n"
    sandbox.ok("admin.vm.property.Reset+guivm", "work")
    sandbox.ok("admin.property.Set+default_guivm", payload="")
    assert sandbox.ok("admin.vm.tag.List", "work") == ""
    assert sandbox.ok("admin.vm.tag.List", "personal") == "audiovm-dom0\n"


def test_the_clock_has_its_feature(sandbox: Any) -> None:
    assert "service.clocksync" in sandbox.ok("admin.vm.feature.List", "sys-net")
    sandbox.ok("admin.property.Set+clockvm", payload="sys-firewall")
    assert "service.clocksync" not in sandbox.ok("admin.vm.feature.List", "sys-net")
    assert sandbox.ok("admin.vm.feature.Get+service.clocksync", "sys-firewall") == "1"


def test_network(sandbox: Any) -> None:
    assert error(sandbox.call("admin.vm.property.Set+netvm", "sys-net", "sys-firewall")) == (
        "QubesValueError", "Loops in network are unsupported",
    )  # fmt: skip
    assert error(sandbox.call("admin.vm.property.Set+provides_network", "sys-net", "False")) == (
        "QubesValueError", "The qube is still used by other qubes as netvm",
    )  # fmt: skip
    sandbox.ok("admin.vm.property.Set+netvm", "work", "")
    assert [value(sandbox, "work", name) for name in ("ip", "dns", "visible_netmask")] == ["*"] * 3
    sandbox.ok("admin.vm.feature.Set+ipv6", "sys-net", "1")
    assert value(sandbox, "personal", "ip6") == "*fd09:24ef:4179::a89:7"
    assert value(sandbox, "personal", "visible_gateway6") == "*fd09:24ef:4179::a89:5"
    sandbox.ok("admin.vm.feature.Set+net.fake-ip", "personal", "192.168.1.2")
    assert value(sandbox, "personal", "visible_ip") == "*192.168.1.2"


@pytest.mark.parametrize("name", ["default_dispvm", "management_dispvm"])
def test_a_qube_is_no_disposable_template_before_it_is_one(sandbox: Any, name: str) -> None:
    kind, text = error(sandbox.call(f"admin.vm.property.Set+{name}", "work", "work"))
    assert kind == "QubesPropertyValueError"
    assert text.endswith("has template_for_dispvms set to False")
    sandbox.ok("admin.vm.property.Set+template_for_dispvms", "work", "True")
    sandbox.ok(f"admin.vm.property.Set+{name}", "work", "work")


def test_disposables(sandbox: Any) -> None:
    assert error(sandbox.call("admin.vm.Create.DispVM+work", payload="name=d label=red")) == (
        "QubesPropertyValueError",
        "template for DispVM (work) needs to have template_for_dispvms=True",
    )
    name = sandbox.ok("admin.vm.CreateDisposable")
    assert value(sandbox, name, "template") == "default-dvm"
    kind, _ = error(sandbox.call("admin.vm.property.Set+template_for_dispvms", "default-dvm", "no"))
    assert kind == "QubesVMInUseError"
    sandbox.ok("admin.vm.Start", name)
    sandbox.ok("admin.vm.Kill", name)
    assert error(sandbox.call("admin.vm.List", name)) == (
        "QubesVMNotFoundError", f"No such domain: {name!r}",
    )  # fmt: skip


def test_one_card_for_one_running_qube(sandbox: Any) -> None:
    for qube in ("work", "personal"):
        sandbox.ok("admin.vm.device.pci.Assign+" + CARD, qube, "mode='required'")
    sandbox.ok("admin.vm.Start", "work")
    assert error(sandbox.call("admin.vm.Start", "personal")) == (
        "QubesException",
        "Requested operation is not valid: PCI device 0000:01:00.0 is in use by driver xenlight, "
        "domain work",
    )
    sandbox.ok("admin.vm.Shutdown", "work")
    sandbox.ok("admin.vm.Start", "personal")


def test_attach_and_detach(sandbox: Any) -> None:
    usb = "dom0+00_14.0+0x8086+0x7ae0++p0c0330"
    sandbox.ok("admin.vm.Start", "work")
    sandbox.ok("admin.vm.device.pci.Attach+" + usb, "work", "_no-strict-reset='True'")
    assert "mode='manual' _no-strict-reset='True'" in sandbox.ok(
        "admin.vm.device.pci.Attached", "work"
    )
    assert error(sandbox.call("admin.vm.device.pci.Attach+" + usb, "work"))[0] == (
        "DeviceAlreadyAttached"
    )
    sandbox.ok("admin.vm.device.pci.Detach+" + usb, "work")
    assert error(sandbox.call("admin.vm.device.pci.Detach+" + usb, "work"))[0] == (
        "DeviceNotAttached"
    )
    sandbox.ok("admin.vm.Kill", "work")
    sandbox.ok("admin.vm.device.pci.Assign+" + CARD, "work", "mode='required'")
    sandbox.ok("admin.vm.Start", "work")
    kind, text = error(sandbox.call("admin.vm.device.pci.Detach+" + CARD, "work"))
    assert (kind, "required device" in text) == ("QubesVMNotHaltedError", True)


def test_options_are_quoted(sandbox: Any) -> None:
    payload = r"mode='required' _note='it\'s \\ here' _permissive='True'"
    sandbox.ok("admin.vm.device.pci.Assign+" + CARD, "work", payload)
    (entry,) = sandbox.state()["work"]["assigned"]
    assert entry["options"] == {"note": r"it's \ here", "permissive": "True"}
    assert r"_note='it\'s \\ here'" in sandbox.ok("admin.vm.device.pci.Assigned", "work")


def test_starting_takes_memory_and_a_kernel(sandbox: Any) -> None:
    sandbox.ok("admin.vm.property.Set+memory", "work", "40000")
    assert error(sandbox.call("admin.vm.Start", "work"))[0] == "QubesMemoryError"
    sandbox.ok("admin.vm.property.Reset+memory", "work")
    sandbox.ok("admin.vm.property.Set+kernel", "work", "")
    assert error(sandbox.call("admin.vm.Start", "work"))[0] == "QubesException"
    sandbox.ok("admin.vm.property.Set+virt_mode", "work", "hvm")
    sandbox.ok("admin.vm.Start", "work")


def test_shutdown_of_a_netvm_in_use(sandbox: Any) -> None:
    sandbox.ok("admin.vm.Start", "work")
    assert error(sandbox.call("admin.vm.Shutdown", "sys-firewall")) == (
        "QubesVMInUseError", "There are other VMs connected to this VM: work",
    )  # fmt: skip
    sandbox.ok("admin.vm.Shutdown+force", "sys-firewall")


def test_power_states_that_do_not_fit(sandbox: Any) -> None:
    assert error(sandbox.call("admin.vm.Pause", "work"))[0] == "QubesVMNotRunningError"
    assert error(sandbox.call("admin.vm.Unpause", "work"))[0] == "QubesVMNotPausedError"
    assert error(sandbox.call("admin.vm.Start", "dom0")) == (
        "ProtocolError", "expected destination to not be AdminVM",
    )  # fmt: skip


def test_a_clone_as_clients_make_it(sandbox: Any) -> None:
    sandbox.ok("admin.vm.volume.Resize+root", "fedora-40-xfce", "21474836480")
    sandbox.ok("admin.vm.Create.StandaloneVM", payload="name=gpu label=black")
    token = sandbox.ok("admin.vm.volume.CloneFrom+root", "fedora-40-xfce")
    assert len(token) == 32
    sandbox.ok("admin.vm.volume.CloneTo+root", "gpu", token)
    info = dict(line.split("=", 1) for line in
                sandbox.ok("admin.vm.volume.Info+root", "gpu").splitlines())  # fmt: skip
    assert info["size"] == "21474836480"
    assert info["save_on_stop"] == "True"
    assert sandbox.state()["gpu"]["volumes"]["root"]["content"] == (
        "vm-templates/fedora-40-xfce/root"
    )
    kind, text = error(sandbox.call("admin.vm.volume.Resize+root", "gpu", "1"))
    assert (kind, "shrinking" in text) == ("StoragePoolException", True)


def test_a_token_of_a_removed_qube_is_void(sandbox: Any) -> None:
    token = sandbox.ok("admin.vm.volume.CloneFrom+private", "personal")
    sandbox.ok("admin.vm.Remove", "personal")
    assert error(sandbox.call("admin.vm.volume.CloneTo+private", "work", token))[0] == (
        "QubesVolumeCopyTokenNotFoundError"
    )


def test_qids_are_used_again(sandbox: Any) -> None:
    sandbox.ok("admin.vm.Remove", "personal")
    sandbox.ok("admin.vm.Create.AppVM", payload="name=next label=red")
    assert value(sandbox, "next", "qid") == "7"


def test_uuids_are_destinations(sandbox: Any) -> None:
    uuid = value(sandbox, "work", "uuid")
    assert sandbox.ok("admin.vm.List", f"uuid:{uuid}").startswith("work ")
    assert error(sandbox.call("admin.vm.List", "uuid:" + "1" * 32))[0] == "QubesVMNotFoundError"


@pytest.mark.parametrize("rule", [
    "action=accept dst4=10.0.0.1/33", "proto=tcp", "action=accept dstports=80",
    "action=accept proto=tcp dstports=80-70", "action=accept icmptype=3", "action=drop action=drop",
    "action=accept  proto=tcp", "action=accept specialtarget=x", "",
])  # fmt: skip
def test_bad_rules(sandbox: Any, rule: str) -> None:
    assert sandbox.call("admin.vm.firewall.Set", "work", rule + "\n") in (b"", b"0\0")
    assert sandbox.ok("admin.vm.firewall.Get", "work") in ("action=accept\n", "")


def test_rules_are_printed_in_one_order(sandbox: Any) -> None:
    sandbox.ok("admin.vm.firewall.Set", "work",
               "dstports=22 proto=tcp action=accept\n"
               "action=accept dst4=1.2.3.4 expire=1\n"
               "action=drop dsthost=example.com comment=a=b c")  # fmt: skip
    assert sandbox.ok("admin.vm.firewall.Get", "work") == (
        "action=accept proto=tcp dstports=22-22\naction=drop dsthost=example.com comment=a=b c\n"
    )


def test_daemons_own_tags_and_features(sandbox: Any) -> None:
    for method in ("admin.vm.tag.Set+created-by-x", "admin.vm.tag.Remove+created-by-dom0",
                   "admin.vm.feature.Set+preload-dispvm"):  # fmt: skip
        assert error(sandbox.call(method, "work"))[0] == "PermissionDenied"


def test_get_all_escapes_and_get_does_not(sandbox: Any) -> None:
    sandbox.ok("admin.vm.property.Set+kernelopts", "work", "a\\n\nb")
    assert "kernelopts default=False type=str a\\\\n\\nb\n" in sandbox.ok(
        "admin.vm.property.GetAll", "work"
    )
    assert value(sandbox, "work", "kernelopts") == "a\\n\nb"


def test_every_property_can_be_read_in_every_class(sandbox: Any) -> None:
    sandbox.ok("admin.vm.Create.RemoteVM", payload="name=far label=red")
    sandbox.ok("admin.vm.Create.DispVM+default-dvm", payload="name=d label=red")
    sandbox.ok("admin.vm.Create.StandaloneVM", payload="name=s label=red")
    for qube in ("dom0", "fedora-40-xfce", "work", "far", "d", "s"):
        names = sandbox.ok("admin.vm.property.List", qube).split()
        lines = sandbox.ok("admin.vm.property.GetAll", qube).splitlines()
        assert [line.split(" ")[0] for line in lines] == names
        for name, line in zip(names, lines, strict=True):
            read = sandbox.ok(f"admin.vm.property.Get+{name}", qube)
            assert line == f"{name} {read}"
            assert sandbox.ok(f"admin.vm.property.Help+{name}", qube)
            default = sandbox.ok(f"admin.vm.property.GetDefault+{name}", qube)
            if read.startswith("default=True"):
                assert default == read.partition(" ")[2]
