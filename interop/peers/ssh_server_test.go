package peers_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// An sshServer has sessions, whose commands are "cat" and "exit N", and forwards
// ports both ways. It ends with its connection.
type sshServer struct {
	t    testing.TB
	conn *ssh.ServerConn
	mu   sync.Mutex
	lns  []net.Listener // of the ports that the client has asked for
	wg   sync.WaitGroup
}

// sshKey returns a new key of a host.
func sshKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// serveSSH serves one connection to its end.
func serveSSH(t testing.TB, c net.Conn, key ssh.Signer) {
	config := &ssh.ServerConfig{PasswordCallback: func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
		if string(password) != "secret" {
			return nil, fmt.Errorf("wrong password")
		}
		return nil, nil
	}}
	config.AddHostKey(key)
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		t.Error(err)
		return
	}
	s := &sshServer{t: t, conn: conn}
	s.wg.Go(func() { s.global(requests) })
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			s.wg.Go(func() { s.session(ch) })
		case "direct-tcpip":
			s.wg.Go(func() { s.forward(ch) })
		default:
			ch.Reject(ssh.UnknownChannelType, ch.ChannelType())
		}
	}
	s.mu.Lock()
	for _, ln := range s.lns {
		ln.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// session: RFC 4254, 6.
func (s *sshServer) session(newChannel ssh.NewChannel) {
	ch, requests, err := newChannel.Accept()
	if err != nil {
		s.t.Error(err)
		return
	}
	for r := range requests {
		var exec struct{ Command string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &exec) != nil {
			r.Reply(false, nil)
			continue
		}
		r.Reply(true, nil)
		s.wg.Go(func() {
			defer ch.Close()
			var status int
			if exec.Command == "cat" {
				io.Copy(ch, ch)
			} else if _, err := fmt.Sscanf(exec.Command, "exit %d", &status); err != nil {
				fmt.Fprintln(ch.Stderr(), "no such command:", exec.Command)
				status = 127
			}
			ch.CloseWrite()
			ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
		})
	}
}

// forward: RFC 4254, 7.2, to a port of the server's side.
func (s *sshServer) forward(newChannel ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(newChannel.ExtraData(), &to); err != nil {
		newChannel.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	c, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		newChannel.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	ch, requests, err := newChannel.Accept()
	if err != nil {
		c.Close()
		return
	}
	s.wg.Go(func() { ssh.DiscardRequests(requests) })
	join(ch, c.(*net.TCPConn))
}

// global: RFC 4254, 7.1, "tcpip-forward" from a port of the server's side.
func (s *sshServer) global(requests <-chan *ssh.Request) {
	for r := range requests {
		var at struct {
			Host string
			Port uint32
		}
		if r.Type != "tcpip-forward" || ssh.Unmarshal(r.Payload, &at) != nil {
			r.Reply(r.Type == "cancel-tcpip-forward", nil)
			continue
		}
		ln, err := net.Listen("tcp", net.JoinHostPort(at.Host, strconv.Itoa(int(at.Port))))
		if err != nil {
			r.Reply(false, nil)
			continue
		}
		s.mu.Lock()
		s.lns = append(s.lns, ln)
		s.mu.Unlock()
		port := uint32(ln.Addr().(*net.TCPAddr).Port)
		r.Reply(true, ssh.Marshal(struct{ Port uint32 }{port}))
		s.wg.Go(func() { s.forwarded(ln, at.Host, port) })
	}
}

// forwarded opens a channel for every connection to ln.
func (s *sshServer) forwarded(ln net.Listener, host string, port uint32) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		from := c.RemoteAddr().(*net.TCPAddr)
		ch, requests, err := s.conn.OpenChannel("forwarded-tcpip", ssh.Marshal(struct {
			Host       string
			Port       uint32
			OriginHost string
			OriginPort uint32
		}{host, port, from.IP.String(), uint32(from.Port)}))
		if err != nil {
			c.Close()
			continue
		}
		s.wg.Go(func() { ssh.DiscardRequests(requests) })
		s.wg.Go(func() { join(ch, c.(*net.TCPConn)) })
	}
}

// A halfCloser can end one direction alone.
type halfCloser interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// join moves the bytes of a to b and back, each to its end.
func join(a, b halfCloser) {
	var wg sync.WaitGroup
	for _, way := range [][2]halfCloser{{a, b}, {b, a}} {
		wg.Go(func() {
			io.Copy(way[0], way[1])
			way[0].CloseWrite()
		})
	}
	wg.Wait()
	a.Close()
	b.Close()
}
