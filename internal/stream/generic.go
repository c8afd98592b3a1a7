package stream

import (
	"errors"
	"net"
	"os"
)

// generic is any other net.Conn whose deadlines are recoverable, as those of
// net.Pipe are.
type generic struct {
	net.Conn
}

func (s *generic) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	return n, s.timeout("read", err)
}

func (s *generic) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	return n, s.timeout("write", err)
}

type temporary interface {
	error
	Temporary() bool
}

// timeout returns err, or what package net has instead if a deadline is the
// cause. A timeout that is not temporary is another's, of a Conn's KeepAlive for
// one, and final.
func (s *generic) timeout(op string, err error) error {
	te, ok := errors.AsType[temporary](err)
	if ok && te.Temporary() && isTimeout(err) && !errors.Is(err, os.ErrDeadlineExceeded) {
		return OpError(s.Conn, op, os.ErrDeadlineExceeded)
	}
	return err
}

func (s *generic) NetConn() net.Conn { return s.Conn }

func (s *generic) CloseWrite() error { return closeWrite(s.Conn) }

func (s *generic) Abort() { abort(s.Conn) }

// closeWrite ends the direction towards the peer if c can.
func closeWrite(c net.Conn) error {
	if c, ok := c.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// abort closes c at once, from the bottom up: a layer such as TLS would wait
// for the one below to take its farewell.
func abort(c net.Conn) {
	if c, ok := c.(interface{ Abort() }); ok { // a Stream made into a net.Conn
		c.Abort()
		return
	}
	if c, ok := c.(interface{ NetConn() net.Conn }); ok {
		if below := c.NetConn(); below != nil {
			abort(below)
		}
	}
	if c, ok := c.(interface{ SetLinger(sec int) error }); ok {
		c.SetLinger(0)
	}
	c.Close()
}
