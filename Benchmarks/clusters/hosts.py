"""Network namespaces as hosts of a cluster: a switch, a cable to each, and an Open MPI that starts processes in them."""
import os
import subprocess


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Hosts:
    """Hosts 10.79.0.1 … on one switch; needs root. Their cables carry `megabits` a second, or what the machine can."""

    def __init__(self, count, folder, megabits=None):
        self.count, self.folder, self.megabits = count, folder, megabits
        self.prefix = f"hgnet{os.getpid()}"

    def name(self, number):
        return f"{self.prefix}-{number}"

    def __enter__(self):
        self.switch = f"{self.prefix}-s"
        ip("netns", "add", self.switch)
        ip("-n", self.switch, "link", "add", "switch", "type", "bridge")
        ip("-n", self.switch, "link", "set", "switch", "up")
        for number in range(1, self.count + 1):
            host = self.name(number)
            ip("netns", "add", host)
            ip("link", "add", "cable", "netns", host, "type", "veth", "peer", "name", f"port{number}", "netns", self.switch)
            ip("-n", self.switch, "link", "set", f"port{number}", "master", "switch", "up")
            ip("-n", host, "addr", "add", f"10.79.0.{number}/24", "dev", "cable")
            ip("-n", host, "link", "set", "lo", "up")
            ip("-n", host, "link", "set", "cable", "up")
            if self.megabits:
                for space, end in ((host, "cable"), (self.switch, f"port{number}")):
                    subprocess.run(["tc", "-n", space, "qdisc", "add", "dev", end, "root", "tbf", "rate",
                                    f"{self.megabits}mbit", "burst", "64kb", "latency", "100ms"], check=True)
        with open(f"{self.folder}/hosts", "w") as file:
            file.writelines(f"10.79.0.{number} slots=1\n" for number in range(1, self.count + 1))
        # What ssh would be: HOST COMMAND …, in the namespace of the host and under a name of its own.
        self.agent = f"{self.folder}/agent"
        with open(self.agent, "w") as file:
            file.write(f"""#!/bin/sh
host={self.prefix}-${{1##*.}}
shift
exec ip netns exec "$host" unshare --uts sh -c 'hostname "$0"; exec sh -c "$*"' "$host" "$@"
""")
        os.chmod(self.agent, 0o755)
        return self

    def __exit__(self, *ignored):
        for number in range(1, self.count + 1):
            ip("netns", "delete", self.name(number))
        ip("netns", "delete", self.switch)

    def mpirun(self, *command):
        """A command that runs one rank on each host, started on the first."""
        network = "10.79.0.0/24"
        return ["ip", "netns", "exec", self.name(1), "mpirun", "--allow-run-as-root", "--hostfile",
                f"{self.folder}/hosts", "-n", str(self.count), "--map-by", "node", "--bind-to", "none",
                "--mca", "plm_rsh_agent", self.agent, "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", network,
                "--mca", "oob_tcp_if_include", network, "-x", "HGNET_NUM_THREADS", *command]

    def sent(self, number):
        """Bytes that a host has sent so far, by its interface's counter."""
        done = subprocess.run(["ip", "netns", "exec", self.name(number), "cat", "/sys/class/net/cable/statistics/tx_bytes"],
                              capture_output=True, text=True)
        if done.returncode == 0:
            return int(done.stdout)
        done = subprocess.run(["ip", "netns", "exec", self.name(number), "cat", "/proc/net/dev"], capture_output=True,
                              text=True, check=True)
        line = next(line for line in done.stdout.splitlines() if line.strip().startswith("cable:"))
        return int(line.split(":")[1].split()[8])
