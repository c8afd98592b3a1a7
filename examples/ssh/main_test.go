package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bodokaiser/walve/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, main) }

func check(t *testing.T, report string) {
	t.Helper()
	for _, want := range []string{"SSH-2.0-Go", `whoami: "gopher\n"`, "cat: 8388608 bytes there and back", "exit 42: status 42"} {
		if !strings.Contains(report, want) {
			t.Errorf("%q is not in the report:\n%s", want, report)
		}
	}
}

func TestOneProgram(t *testing.T) { check(t, exampletest.Output(t)) }

func TestTwoProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	server := exampletest.Start(t, "-listen", "127.0.0.1:0", "-known-hosts", file)
	check(t, exampletest.Output(t, "-dial", server.URL, "-known-hosts", file))
	exampletest.Start(t, "-listen", "127.0.0.1:0", "-known-hosts", file) // another key is in the file now
	out, err := exampletest.Command(t, "-dial", server.URL, "-known-hosts", file).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "key mismatch") {
		t.Errorf("a server with another key: %v\n%s", err, out)
	}
}

// TestProxyCommand has OpenSSH's client come through the example, with a key.
func TestProxyCommand(t *testing.T) {
	program, keygen := exampletest.Need(t, "ssh"), exampletest.Need(t, "ssh-keygen")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"key", "stranger"} {
		if out, err := exec.Command(keygen, "-q", "-t", "ed25519", "-N", "", "-f", path(name)).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	server := exampletest.Start(t, "-listen", "127.0.0.1:0", "-known-hosts", path("hosts"), "-authorized-keys", path("key.pub"))
	proxy := exampletest.Command(t, "-proxy", server.URL)
	openssh := func(key string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), program, append([]string{
			"-F", os.DevNull, "-o", "ProxyCommand='" + proxy.Path + "' -proxy " + server.URL,
			"-o", "UserKnownHostsFile=" + path("hosts"), "-o", "GlobalKnownHostsFile=" + os.DevNull,
			"-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i", path(key), "gopher@" + host,
		}, args...)...)
		cmd.Env = proxy.Env
		return cmd
	}

	if out, err := openssh("key", "whoami").CombinedOutput(); err != nil || string(out) != "gopher\n" {
		t.Errorf("whoami: %v\n%s", err, out)
	}
	in := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	cat := openssh("key", "cat")
	cat.Stdin = bytes.NewReader(in)
	if out, err := cat.Output(); err != nil || !bytes.Equal(out, in) {
		t.Errorf("cat: %d of %d bytes, %v", len(out), len(in), err)
	}
	var exit *exec.ExitError
	if err := openssh("key", "exit", "7").Run(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("exit 7: %v", err)
	}
	if out, err := openssh("stranger", "whoami").CombinedOutput(); err == nil || !strings.Contains(string(out), "Permission denied") {
		t.Errorf("with a key that is not authorized: %v\n%s", err, out)
	}
}
