// Package exampletest is what the tests of the examples have in common: they
// run the example as a process, and its page in Chromium.
package exampletest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Timeout is when what hangs is given up; nothing is measured by it.
const Timeout = 3 * time.Minute

// runMain in the environment has a test binary be the example itself.
const runMain = "WALVE_EXAMPLE_RUN_MAIN"

// Main is the TestMain of an example whose main function is given.
func Main(m *testing.M, main func()) {
	if os.Getenv(runMain) != "" {
		main()
		return
	}
	code := m.Run()
	if err := stopBrowser(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// Need returns the path of a program, or skips the test without it, and fails
// it in CI, where .ci/run has installed it.
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed", program)
	return ""
}

// Command is a command of the example itself, killed when the test ends.
func Command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // removed behind the process
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self, args...)
	// The race detector would wait for a second at the end.
	cmd.Env = append(os.Environ(), runMain+"=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"), "TMPDIR="+dir)
	return cmd
}

// Output runs the example to its end, which has to be a success.
func Output(t testing.TB, args ...string) string {
	t.Helper()
	out, err := Command(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// A Process is a program that runs until it is stopped, at the latest when the
// test ends.
type Process struct {
	// URL is what it has said that it listens on.
	URL string

	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan struct{}
	err    error // how it has ended, once ended is closed
	mu     sync.Mutex
	lines  []string
	news   chan struct{} // closed with the next line
	done   bool          // stopped or killed by the test
}

// Start starts the example and waits until it listens.
func Start(t testing.TB, args ...string) *Process {
	t.Helper()
	p := StartCommand(t, Command(t, args...))
	line := p.Line(t, "listening on ")
	p.URL = strings.TrimPrefix(line, "listening on ")
	return p
}

// StartCommand starts a program.
func StartCommand(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{cmd: cmd, ended: make(chan struct{}), news: make(chan struct{})}
	cmd.Stderr = &p.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.add(s.Text())
		}
		p.err = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() { p.Stop(t) })
	return p
}

func (p *Process) add(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
	close(p.news)
	p.news = make(chan struct{})
}

// Line waits for a line that begins with prefix, takes it and what is before
// it, and returns it.
func (p *Process) Line(t testing.TB, prefix string) string {
	t.Helper()
	limit := time.After(Timeout)
	for ended := false; ; {
		p.mu.Lock()
		for i, line := range p.lines {
			if strings.HasPrefix(line, prefix) {
				p.lines = p.lines[i+1:]
				p.mu.Unlock()
				return line
			}
		}
		news := p.news
		p.mu.Unlock()
		if ended {
			p.done = true
			t.Fatalf("%s has ended (%v) without a line %q\n%s", p.cmd.Args[0], p.err, prefix, &p.stderr)
		}
		select {
		case <-news:
		case <-p.ended:
			ended = true
		case <-limit:
			t.Fatalf("%s has printed no line %q", p.cmd.Args[0], prefix)
		}
	}
}

// Kill ends the process without a warning.
func (p *Process) Kill() {
	p.done = true
	p.cmd.Process.Kill()
	<-p.ended
}

// Pid is that of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process.
func (p *Process) Signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Stop interrupts the process, unless it was stopped before, waits for its end
// and fails the test if that is no success.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	if p.done {
		return
	}
	if runtime.GOOS == "windows" { // it has no signal to send
		p.Kill()
		return
	}
	p.done = true
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(Timeout):
		p.cmd.Process.Kill()
		<-p.ended
	}
	if p.err != nil {
		t.Errorf("%s: %v\n%s", p.cmd.Args[0], p.err, &p.stderr)
	}
}
