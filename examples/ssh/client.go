package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/bodokaiser/walve"
	"golang.org/x/crypto/ssh"
)

// login runs a few commands on the server.
func login(ctx context.Context, u *url.URL, check ssh.HostKeyCallback, out io.Writer) error {
	conn, err := walve.Dial(ctx, u.String())
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c, channels, requests, err := ssh.NewClientConn(conn, host+":22", &ssh.ClientConfig{User: "gopher", HostKeyCallback: check})
	if err != nil {
		conn.Close()
		return err
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	fmt.Fprintf(out, "through %s: %s\n", u, c.ServerVersion())

	for _, step := range []func(*ssh.Session) (string, error){whoami, cat, exit} {
		session, err := client.NewSession()
		if err != nil {
			return err
		}
		text, err := step(session)
		session.Close()
		if err != nil {
			return err
		}
		fmt.Fprintln(out, text)
	}
	return nil
}

func whoami(s *ssh.Session) (string, error) {
	name, err := s.Output("whoami")
	return fmt.Sprintf("whoami: %q", name), err
}

func cat(s *ssh.Session) (string, error) {
	const size = 8 << 20
	sent, got := sha256.New(), sha256.New()
	s.Stdin = io.TeeReader(io.LimitReader(rand.Reader, size), sent)
	s.Stdout = got
	if err := s.Run("cat"); err != nil {
		return "", err
	}
	if string(sent.Sum(nil)) != string(got.Sum(nil)) {
		return "", errors.New("cat: other bytes came back")
	}
	return fmt.Sprintf("cat: %d bytes there and back, SHA-256 %x...", size, got.Sum(nil)[:4]), nil
}

func exit(s *ssh.Session) (string, error) {
	err := s.Run("exit 42")
	if e, ok := errors.AsType[*ssh.ExitError](err); ok {
		return fmt.Sprintf("exit 42: status %d", e.ExitStatus()), nil
	}
	return "", fmt.Errorf("exit 42: %v", err)
}
