package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"

	"github.com/bodokaiser/walve"
)

// A session connects standard input and output to a WebSocket.
type session struct {
	ws      *walve.Conn
	send    func() error // from standard input, to its end
	receive func() error // to standard output, to the end of ws
	keep    bool         // the end of standard input is not passed on
}

// run returns when both directions have ended, or one has failed. The process
// may end then: nothing that was sent is lost.
func (s *session) run(e *env) error {
	sent, received := inBackground(func() error {
		err := s.send()
		if err == nil && !s.keep {
			if err = s.ws.CloseWrite(); errors.Is(err, net.ErrClosed) {
				err = nil // the server was faster
			}
		}
		return err
	}), inBackground(func() error {
		err := s.receive()
		if err == nil {
			err = closeOutput(e.stdout)
		}
		return err
	})
	// Who sits at a terminal, or has nobody left who would take it, types no
	// more when the server has ended.
	last := isTerminal(e.stdin) || s.keep || !canHalfClose(s.ws)
	for sent != nil || received != nil {
		select {
		case err := <-sent:
			sent = nil
			if err != nil && !(isWrite(err) && errors.Is(err, net.ErrClosed)) {
				return s.fail(err)
			}
			// If the server has closed, receive tells how.
		case err := <-received:
			received = nil
			if err != nil {
				return s.fail(err)
			}
			if last {
				sent = nil
			}
		case <-e.stop.Done():
			s.close(walve.StatusGoingAway, "")
			return context.Cause(e.stop)
		}
	}
	s.close(walve.StatusNormalClosure, "")
	return nil
}

func inBackground(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// fail ends ws with an error if it is this side that has one.
func (s *session) fail(err error) error {
	var path *fs.PathError
	code := walve.StatusInternalError
	if errors.As(err, &path) && path.Op == "write" {
		code = walve.StatusGoingAway // nobody reads any more
	}
	s.close(code, "")
	return err
}

func (s *session) close(code walve.StatusCode, reason string) {
	s.ws.CloseWithStatus(code, reason)
	awaitClosed(s.ws)
}

// closeOutput tells whoever reads standard output its end, and whoever runs
// this command whether all could be written.
func closeOutput(w io.Writer) error {
	if f, ok := w.(*os.File); ok && !isTerminal(w) {
		return f.Close()
	}
	return nil
}

// isTerminal reports whether v is a file and a terminal, as far as the standard
// library can tell.
func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// isRegular reports whether v is a file on a disk.
func isRegular(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}
