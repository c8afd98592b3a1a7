package main

import (
	"fmt"
	"io"
	"net"
	"os"
)

// Go does what the server has to do on l in a goroutine.
func (s *Server) Go(l Link) {
	if s.Work.Kind == Idle && l.Stream != nil {
		s.received.add(1)
		go idleStream(l.Stream, make([]byte, smallBuffer), s.received)
		return
	}
	go s.Serve(l)
}

// Here is Go for a goroutine that has nothing else to do.
func (s *Server) Here(l Link) {
	if s.Work.Kind == Idle {
		s.Go(l)
		return
	}
	s.Serve(l)
}

// idleStream waits for messages. It is all that lies between the goroutine's
// start and Read: its stack is what is measured.
func idleStream(c StreamConn, buf []byte, m *meter) {
	for {
		n, err := c.Read(buf)
		if err != nil {
			c.Close()
			return
		}
		if buf[0] == answerMe {
			if _, err := c.Write(buf[:n]); err != nil {
				c.Close()
				return
			}
		}
		m.add(1)
	}
}

// answerMe is the first byte of an Idle connection's message that is to be
// sent back.
const answerMe = 1

// Serve does what the server has to do on l, and closes it. It returns when l
// has ended.
func (s *Server) Serve(l Link) {
	defer l.Close()
	var err error
	if l.Stream != nil {
		err = s.stream(l.Stream)
	} else {
		err = s.messages(l.Message)
	}
	if s.Work.Kind != Handshake {
		s.fail(string(s.Work.Kind), err)
	}
}

func (s *Server) stream(c StreamConn) error {
	switch s.Work.Kind {
	case Echo:
		return echoStream(c, make([]byte, max(32<<10, s.Work.Size)))
	case Idle: // of a library that does not let Go begin the goroutine
		s.received.add(1)
		idleStream(c, make([]byte, smallBuffer), s.received)
		return nil
	case Upload:
		return drain(c, make([]byte, s.Work.Size), s.received)
	case Download:
		p := payload(s.Work.Size)
		return s.source(func(n int64) error { return writeBytes(c.Write, p, n) })
	case File:
		return s.source(func(n int64) error { return s.sendFile(c, n) })
	case Relay:
		return s.relay(func(up net.Conn) error {
			_, err := io.Copy(c, up)
			return err
		})
	default:
		_, err := c.Read(make([]byte, smallBuffer))
		return err
	}
}

// smallBuffer is what a connection that waits for something to happen reads
// into.
const smallBuffer = 128

func echoStream(c StreamConn, buf []byte) error {
	for {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return err
		}
	}
}

func drain(c StreamConn, buf []byte, m *meter) error {
	for {
		n, err := c.Read(buf)
		m.add(n)
		if err != nil {
			return err
		}
	}
}

// writeBytes writes n bytes in pieces of at most len(p).
func writeBytes(write func([]byte) (int, error), p []byte, n int64) error {
	for n > 0 {
		m, err := write(p[:min(n, int64(len(p)))])
		if err != nil {
			return err
		}
		n -= int64(m)
	}
	return nil
}

func (s *Server) messages(c MessageConn) error {
	if s.Work.Kind == Idle {
		s.received.add(1)
	}
	for {
		p, err := c.ReadMessage()
		if err != nil {
			return err
		}
		if s.Work.Kind == Echo || p[0] == answerMe {
			if err := c.WriteMessage(p); err != nil {
				return err
			}
		}
		if s.Work.Kind == Idle {
			s.received.add(1)
		}
	}
}

// source calls send for each amount that is asked for.
func (s *Server) source(send func(n int64) error) error {
	for {
		select {
		case n := <-s.amounts:
			if err := send(n); err != nil {
				return err
			}
			s.sent <- struct{}{}
		case <-s.stopped:
			return nil
		}
	}
}

// fileSender is a connection for which io.Copy is not the best way.
type fileSender interface {
	SendFile(f *os.File, size int64) error
}

// sendFile sends the file, which has n bytes.
func (s *Server) sendFile(w io.Writer, n int64) error {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if fs, ok := w.(fileSender); ok {
		return fs.SendFile(s.file, n)
	}
	m, err := io.Copy(w, s.file)
	if err == nil && m != n {
		err = fmt.Errorf("%d of %d bytes sent", m, n)
	}
	return err
}

func (s *Server) relay(run func(up net.Conn) error) error {
	up, err := s.upstream.Accept()
	if err != nil {
		return err
	}
	defer up.Close()
	return run(up)
}

// Opened and Message are for libraries with events.
func (s *Server) Opened(c EventConn) {
	write := func(p []byte) (int, error) { return len(p), c.WriteMessage(p) }
	var run func() error
	switch s.Work.Kind {
	case Idle:
		s.received.add(1)
		return
	case Download:
		p := payload(s.Work.Size)
		run = func() error {
			return s.source(func(n int64) error { return writeBytes(write, p, n) })
		}
	case File:
		run = func() error {
			return s.source(func(n int64) error { return s.sendFile(eventWriter{c}, n) })
		}
	case Relay:
		run = func() error {
			return s.relay(func(up net.Conn) error {
				_, err := io.Copy(eventWriter{c}, up)
				return err
			})
		}
	default:
		return
	}
	go func() { s.fail(string(s.Work.Kind), run()) }()
}

func (s *Server) Message(c EventConn, p []byte) {
	switch s.Work.Kind {
	case Echo:
		if err := c.WriteMessage(p); err != nil {
			s.fail("echo", err)
		}
	case Idle:
		if p[0] == answerMe {
			if err := c.WriteMessage(p); err != nil {
				s.fail("answer", err)
			}
		}
		s.received.add(1)
	case Upload:
		s.received.add(len(p))
	}
}

// eventWriter writes messages, or leaves it to the library to make them of
// what it reads.
type eventWriter struct{ EventConn }

func (w eventWriter) Write(p []byte) (int, error) { return len(p), w.WriteMessage(p) }

func (w eventWriter) ReadFrom(r io.Reader) (int64, error) {
	if rf, ok := w.EventConn.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{w}, r)
}
