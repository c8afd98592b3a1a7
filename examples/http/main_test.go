package main

import (
	"regexp"
	"testing"

	"github.com/bodokaiser/walve/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, main) }

func check(t *testing.T, report string) {
	t.Helper()
	for _, want := range []string{
		`GET  /hello  hello from inside.example to 127\.0\.0\.1:\d+\n`,
		`POST /digest 8388608 bytes, SHA-256 .* on both sides\n`,
		`POST /lines  sent "seventeen", got its length 9\n`,
		`which was dialled 1 time\(s\)\n`,
	} {
		if !regexp.MustCompile(want).MatchString(report) {
			t.Errorf("%q is not in the report:\n%s", want, report)
		}
	}
}

func TestOneProgram(t *testing.T) { check(t, exampletest.Output(t)) }

func TestTwoProcesses(t *testing.T) {
	server := exampletest.Start(t, "-listen", "127.0.0.1:0")
	check(t, exampletest.Output(t, "-dial", server.URL))
}
