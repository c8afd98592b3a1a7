package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Server is the server process of a trial.
type Server struct {
	Work Work
	TLS  *tls.Config // nil without Work.TLS
	Cert *Certificate

	ln       net.Listener
	upstream net.Listener  // of Relay: where the bytes come from
	file     *os.File      // of File
	received *meter        // bytes of Upload, connections of Idle
	amounts  chan int64    // what Download and File are to send
	sent     chan struct{} // it was
	failed   chan error
	stopping atomic.Bool
	stopped  chan struct{} // closed by Close
}

// startServer listens, and serves with p in a goroutine.
func startServer(p *Peer, w Work) (*Server, error) {
	s := &Server{
		Work: w, received: newMeter(), amounts: make(chan int64), sent: make(chan struct{}), failed: make(chan error, 1), stopped: make(chan struct{}),
	}
	if w.TLS {
		cert, err := newCertificate()
		if err != nil {
			return nil, err
		}
		s.Cert = cert
		if s.TLS, err = cert.server(); err != nil {
			return nil, err
		}
	}
	var err error
	if s.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if w.Kind == Relay {
		if s.upstream, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, err
		}
	}
	if w.Kind == File {
		if s.file, err = os.Open(w.Path); err != nil {
			return nil, err
		}
	}
	go func() {
		var err error
		if w.serves() {
			err = p.Serve(s, s.ln)
		} else {
			err = s.serveRaw(!p.Raw)
		}
		s.fail("serve", err)
	}()
	return s, nil
}

// Run does the server's part of n operations, as far as it is not done by
// answering.
func (s *Server) Run(n int64) (time.Duration, error) {
	start := time.Now()
	switch s.Work.Kind {
	case Download, File:
		select {
		case s.amounts <- n:
		case err := <-s.failed:
			return 0, err
		}
		select {
		case <-s.sent:
		case err := <-s.failed:
			return 0, err
		}
	case Upload, Idle:
		s.received.expect(n)
		if err := s.received.wait(s.failed); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// Failure returns an error that the server met since it was last asked.
func (s *Server) Failure() error {
	select {
	case err := <-s.failed:
		return err
	default:
		return nil
	}
}

func (s *Server) fail(op string, err error) {
	if err == nil || s.stopping.Load() || s.Work.Kind == Handshake && errors.Is(err, io.EOF) {
		return
	}
	select {
	case s.failed <- fmt.Errorf("%s: %w", op, err):
	default:
	}
}

// Close ends the server. Connections end with the process.
func (s *Server) Close() {
	s.stopping.Store(true)
	close(s.stopped)
	s.ln.Close()
	if s.upstream != nil {
		s.upstream.Close()
	}
	if s.file != nil {
		s.file.Close()
	}
}

// acceptLoop calls serve in a goroutine for each connection.
func acceptLoop(ln net.Listener, serve func(net.Conn)) error {
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go serve(c)
	}
}

// secure puts TLS on c if the work is over TLS. A client waits for it, also if
// the server has nothing to read.
func (s *Server) secure(c net.Conn) (net.Conn, error) {
	if s.TLS == nil {
		return c, nil
	}
	tc := tls.Server(c, s.TLS)
	if err := tc.Handshake(); err != nil {
		c.Close()
		return nil, err
	}
	return tc, nil
}

// serveRaw is the server when the library is on the other side.
func (s *Server) serveRaw(framed bool) error {
	return acceptLoop(s.ln, func(c net.Conn) {
		tc := c.(*net.TCPConn)
		defer tc.Close()
		tc.SetLinger(0) // or a client that closes first is left in TIME_WAIT
		c, err := s.secure(c)
		if err != nil {
			s.fail("raw server", err)
			return
		}
		if framed || s.Work.Kind == Handshake {
			if err := serverHandshake(c); err != nil {
				s.fail("raw server", err)
				return
			}
		}
		err = s.raw(newRawConn(c, s.Work, framed))
		if s.Work.Kind != Handshake {
			s.fail("raw server", err)
		}
	})
}

func (s *Server) raw(r *rawConn) error {
	size := int64(s.Work.Size)
	switch s.Work.Kind {
	case Echo:
		for {
			if err := r.receive(size); err != nil {
				return err
			}
			if err := r.send(); err != nil {
				return err
			}
		}
	case Upload:
		for {
			if err := r.receive(size); err != nil {
				return err
			}
			s.received.add(int(size))
		}
	case Download:
		return s.source(func(n int64) error {
			for ; n > 0; n -= size {
				if err := r.send(); err != nil {
					return err
				}
			}
			return nil
		})
	default:
		_, err := r.c.Read(make([]byte, smallBuffer))
		return err
	}
}
