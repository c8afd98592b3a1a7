package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	natsEnv      = "WALVE_CLUSTER_NATS" // not an argument, which all on the machine may read
	stopLimit    = 15 * time.Second     // for a worker that is asked to stop
	restartDelay = 200 * time.Millisecond
)

// A supervisor keeps workers running.
type supervisor struct {
	addr, file, nats string
	out              io.Writer
	workers          []*worker
	exited           chan *worker
	done             chan struct{} // closed when nobody takes from exited any more
}

// A worker is a process. It ends with its standard input too, so that none is
// left when the supervisor has been killed.
type worker struct {
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{}
	err   error // once ended is closed
}

func (s *supervisor) start(n int) error {
	for range n {
		w, err := s.startWorker()
		if err != nil {
			s.stop()
			return err
		}
		s.workers = append(s.workers, w)
	}
	return nil
}

// startWorker starts a worker and waits until it accepts connections.
func (s *supervisor) startWorker() (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-worker", s.file, "-addr", s.addr)
	cmd.Env = append(os.Environ(), natsEnv+"="+s.nats)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w := &worker{cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	line, readErr := bufio.NewReader(stdout).ReadString('\n')
	go func() {
		w.err = cmd.Wait()
		close(w.ended)
		select {
		case s.exited <- w:
		case <-s.done:
		}
	}()
	if !strings.HasPrefix(line, "listening on ") {
		w.stop()
		return nil, fmt.Errorf("worker does not start: %w", errors.Join(w.err, readErr))
	}
	fmt.Fprintf(s.out, "worker %d started\n", cmd.Process.Pid)
	return w, nil
}

// run replaces workers that end until ctx does, and all of them, one after the
// other, for every hangup.
func (s *supervisor) run(ctx context.Context, hangup <-chan os.Signal) error {
	defer s.stop()
	defer close(s.done)
	for {
		select {
		case <-ctx.Done():
			return nil
		case w := <-s.exited:
			if err := s.replace(ctx, w); err != nil {
				return err
			}
		case <-hangup:
			for i, old := range s.workers {
				// The new one first, so that there is always one.
				w, err := s.startWorker()
				if err != nil {
					return err
				}
				s.workers[i] = w
				old.stop()
			}
			fmt.Fprintln(s.out, "all workers restarted")
		}
	}
}

// replace starts a worker in the place of one that has ended by itself.
func (s *supervisor) replace(ctx context.Context, old *worker) error {
	for i, w := range s.workers {
		if w != old {
			continue
		}
		fmt.Fprintf(s.out, "worker %d ended: %v\n", old.cmd.Process.Pid, old.err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restartDelay):
		}
		var err error
		s.workers[i], err = s.startWorker()
		return err
	}
	return nil
}

func (s *supervisor) stop() {
	for _, w := range s.workers {
		w.signal()
	}
	for _, w := range s.workers {
		w.stop()
	}
}

func (w *worker) signal() {
	if w.cmd.Process.Signal(syscall.SIGTERM) != nil {
		w.stdin.Close() // a system without signals
	}
}

// stop asks the worker to end and waits.
func (w *worker) stop() {
	w.signal()
	select {
	case <-w.ended:
	case <-time.After(stopLimit):
		w.cmd.Process.Kill()
		<-w.ended
	}
}
