package faults_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process is this binary in one of its roles. It is killed when the test ends.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer
	lines  chan string // of its standard output; closed with it
}

func start(t testing.TB, name string, args ...string) *process {
	t.Helper()
	return startCommand(t, selfAs(t, name, args...))
}

func selfAs(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self, args...)
	// The race detector would wait for a second at the end.
	cmd.Env = append(os.Environ(), role+"="+name, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	return cmd
}

func startCommand(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p, err := tryCommand(t, cmd)
	must(t, err)
	return p
}

func tryCommand(t testing.TB, cmd *exec.Cmd) (*process, error) {
	t.Helper()
	p := &process{name: strings.Join(cmd.Args[1:], " "), cmd: cmd, lines: make(chan string, 10_000)}
	cmd.Stderr = &p.stderr
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	p.stdin, err = cmd.StdinPipe()
	must(t, err)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.lines <- s.Text()
		}
		close(p.lines)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		for range p.lines { // none may be left that holds up the end
		}
		cmd.Wait()
		if t.Failed() && p.stderr.Len() > 0 {
			t.Logf("%s: %s", p.name, &p.stderr)
		}
	})
	return p, nil
}

// line waits for the next line that begins with prefix, and returns the rest.
func (p *process) line(t testing.TB, prefix string) string {
	t.Helper()
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("%s has ended without a line %q", p.name, prefix)
			}
			if rest, ok := strings.CutPrefix(line, prefix+" "); ok {
				return rest
			}
		case <-limit.C:
			t.Fatalf("%s has printed no line %q", p.name, prefix)
		}
	}
}

// outcomes ends the process, as it would itself, and returns those it printed.
func (p *process) outcomes(t testing.TB) (outcomes []outcome) {
	t.Helper()
	p.stdin.Close()
	limit := time.AfterFunc(timeout, func() { p.cmd.Process.Signal(syscall.SIGQUIT) })
	defer limit.Stop()
	for line := range p.lines {
		if s, ok := strings.CutPrefix(line, "outcome "); ok {
			var o outcome
			must(t, json.Unmarshal([]byte(s), &o))
			outcomes = append(outcomes, o)
		}
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%s: %v", p.name, err)
	}
	return outcomes
}

func (p *process) signal(t testing.TB, s os.Signal) {
	t.Helper()
	must(t, p.cmd.Process.Signal(s))
}

func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// waitUntil polls; no result depends on how long it takes.
func waitUntil(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(timeout); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s takes too long", what)
		}
	}
}
