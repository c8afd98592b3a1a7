package peers_test

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// need returns the path of a program, or ends the test as missing does.
func need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, program)
	}
	return path
}

// missing ends the test because of what is not installed: skipped, but failed in
// CI, where .ci/run has installed all of it.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed", what)
	}
	t.Skipf("%s is not installed", what)
}

// nodeEnv is the environment in which node finds modules: those of NODE_PATH,
// and those of `npm install -g`.
func nodeEnv() []string {
	path := os.Getenv("NODE_PATH")
	if root, err := exec.Command("npm", "root", "-g").Output(); err == nil {
		path += string(os.PathListSeparator) + strings.TrimSpace(string(root))
	}
	return append(os.Environ(), "NODE_PATH="+path)
}

// needPython returns a Python that has the module.
func needPython(t testing.TB, module string) string {
	t.Helper()
	need(t, "python3")
	// The first one on the PATH may be another than Debian's, whose packages it
	// does not see.
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import "+module).Run() == nil {
			return python
		}
	}
	missing(t, "python3-"+module)
	panic("unreachable")
}

// A process is a program that ends with the test.
type process struct {
	name  string
	lines chan string // of its standard output; closed when that ends
	// wait returns how the process has ended, once lines is closed.
	wait func() error
}

// start runs a command. What it says on standard error is logged if the test
// fails.
func start(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{name: cmd.Args[0], lines: make(chan string, 1000)}
	ended := make(chan struct{})
	var waitErr error
	go func() {
		s := bufio.NewScanner(stdout)
		for s.Scan() {
			p.lines <- s.Text()
		}
		close(p.lines)
		waitErr = cmd.Wait()
		close(ended)
	}()
	p.wait = func() error { <-ended; return waitErr }
	t.Cleanup(func() {
		cmd.Process.Kill()
		for range p.lines { // none may be left that holds up the end
		}
		<-ended
		if t.Failed() && stderr.Len() > 0 {
			t.Logf("%s: %s", p.name, &stderr)
		}
	})
	return p
}

// line waits for the next line that the process prints.
func (p *process) line(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	select {
	case line, ok := <-p.lines:
		if !ok {
			t.Fatalf("%s has ended: %v", p.name, p.wait())
		}
		return line
	case <-ctx.Done():
		t.Fatalf("%s says nothing", p.name)
		panic("unreachable")
	}
}

// wantLine fails the test unless the next line is the one expected.
func (p *process) wantLine(t testing.TB, want string) {
	t.Helper()
	if got := p.line(t); got != want {
		t.Errorf("%s printed %q, want %q", p.name, got, want)
	}
}
