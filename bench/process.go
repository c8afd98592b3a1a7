package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// worker is a child process as the parent sees it.
type worker struct {
	role    Role
	enc     *json.Encoder
	replies chan reply
	ended   chan struct{} // no more replies
	stdin   io.Closer
	kill    func()
	wait    func() error
	stderr  *tail
	timeout time.Duration // of one request
}

// launcher starts a worker.
type launcher func(role Role, timeout time.Duration) (*worker, error)

// launchProcess runs this program again, as a child process.
func launchProcess(role Role, timeout time.Duration) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), processEnv+"="+string(role))
	w := &worker{role: role, stderr: &tail{}, timeout: timeout}
	cmd.Stderr = w.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s process: %w", role, err)
	}
	w.kill = func() { cmd.Process.Kill() }
	w.wait = cmd.Wait
	w.attach(stdin, stdout)
	return w, nil
}

// launchHere runs the same in a goroutine of this process, for tests.
func launchHere(role Role, timeout time.Duration) (*worker, error) {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	w := &worker{role: role, stderr: &tail{}, timeout: timeout}
	done := make(chan error, 1)
	go func() {
		err := runChild(role, inR, outW)
		outW.CloseWithError(io.EOF)
		done <- err
	}()
	w.kill = func() { outR.Close() }
	w.wait = func() error { return <-done }
	w.attach(inW, outR)
	return w, nil
}

func (w *worker) attach(stdin io.WriteCloser, stdout io.Reader) {
	w.stdin = stdin
	w.enc = json.NewEncoder(stdin)
	w.replies = make(chan reply, 1)
	w.ended = make(chan struct{})
	go func() {
		defer close(w.ended)
		for dec := json.NewDecoder(stdout); ; {
			var r reply
			if dec.Decode(&r) != nil {
				return
			}
			w.replies <- r
		}
	}()
}

// send sends a request, whose answer is to be received.
func (w *worker) send(req request) error {
	if err := w.enc.Encode(req); err != nil {
		return w.broken(fmt.Sprintf("%s: %v", req.Op, err))
	}
	return nil
}

// receive waits for the answer to the request that was sent.
func (w *worker) receive(ctx context.Context, op string) (reply, error) {
	timer := time.NewTimer(w.timeout)
	defer timer.Stop()
	select {
	case r := <-w.replies:
		if r.Error != "" {
			return r, fmt.Errorf("%s: %s: %s", w.role, op, r.Error)
		}
		return r, nil
	case <-w.ended:
		return reply{}, w.broken(op + ": the process has ended")
	case <-timer.C:
		return reply{}, w.broken(fmt.Sprintf("%s: no answer within %v", op, w.timeout))
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
}

func (w *worker) call(ctx context.Context, req request) (reply, error) {
	if err := w.send(req); err != nil {
		return reply{}, err
	}
	return w.receive(ctx, req.Op)
}

// broken is the error of a process that does not answer as it should, with the
// last that it had to say.
func (w *worker) broken(what string) error {
	if s := w.stderr.String(); s != "" {
		what += ": " + s
	}
	return fmt.Errorf("%s: %s", w.role, what)
}

// exitTime is how long a process has to end by itself.
const exitTime = 2 * time.Second

// close ends the process: it is asked to, and killed if it does not.
func (w *worker) close() error {
	w.stdin.Close()
	done := make(chan error, 1)
	go func() {
		select { // Wait must not be called before all is read
		case <-w.ended:
		case <-time.After(exitTime):
			w.kill()
		}
		done <- w.wait()
	}()
	select {
	case err := <-done:
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return w.broken(exit.Error())
		}
		return err
	case <-time.After(2 * exitTime):
		w.kill()
		return w.broken("the process does not end")
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - tailSize; n > 0 {
		t.b = t.b[n:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
