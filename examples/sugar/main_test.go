package main

import (
	"strings"
	"testing"

	"github.com/bodokaiser/walve/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, main) }

func check(t *testing.T, report string) {
	t.Helper()
	for _, want := range []string{
		`messages  sent "hello, grün", got text "HELLO, GRÜN"`,
		"json      sent 100000 numbers, got their sum 4999950000",
		"events    now at 1, 2\nevents    now at 4, 6",
	} {
		if !strings.Contains(report, want+"\n") {
			t.Errorf("%q is not in the report:\n%s", want, report)
		}
	}
}

func TestOneProgram(t *testing.T) { check(t, exampletest.Output(t)) }

func TestTwoProcesses(t *testing.T) {
	server := exampletest.Start(t, "-listen", "127.0.0.1:0")
	check(t, exampletest.Output(t, "-dial", server.URL))
}
