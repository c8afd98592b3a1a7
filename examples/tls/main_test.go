package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bodokaiser/walve/examples/internal/cert"
	"github.com/bodokaiser/walve/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, main) }

func check(t *testing.T, report string) {
	t.Helper()
	for _, want := range []string{"TLS 1.3", "the other end is inner.example", `heard "GOOD BYE"`, "closed on both sides"} {
		if !strings.Contains(report, want) {
			t.Errorf("%q is not in the report:\n%s", want, report)
		}
	}
}

func TestOneProgram(t *testing.T) { check(t, exampletest.Output(t)) }

func TestTwoProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cert.pem")
	server := exampletest.Start(t, "-listen", "127.0.0.1:0", "-cert", file)
	check(t, exampletest.Output(t, "-dial", server.URL, "-cert", file))
}

func TestOtherCertificate(t *testing.T) {
	dir := t.TempDir()
	server := exampletest.Start(t, "-listen", "127.0.0.1:0", "-cert", filepath.Join(dir, "cert.pem"))
	_, pem, err := cert.SelfSigned(name)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.pem")
	if err := os.WriteFile(other, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exampletest.Command(t, "-dial", server.URL, "-cert", other).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "certificate") {
		t.Errorf("%v\n%s", err, out)
	}
}
