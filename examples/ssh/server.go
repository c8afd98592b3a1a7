package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
)

// serverConfig makes a new host key, and lets in the keys of a file, or anyone
// if its name is empty.
func serverConfig(authorized string) (*ssh.ServerConfig, ssh.PublicKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, nil, err
	}
	config := &ssh.ServerConfig{NoClientAuth: authorized == ""}
	config.AddHostKey(key)
	if authorized != "" {
		keys, err := readKeys(authorized)
		if err != nil {
			return nil, nil, err
		}
		config.PublicKeyCallback = func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !keys[string(key.Marshal())] {
				return nil, errors.New("unknown key")
			}
			return nil, nil
		}
	}
	return config, key.PublicKey(), nil
}

// readKeys reads a file in the format of authorized_keys. Options of the keys
// are refused, since they would not be kept.
func readKeys(file string) (map[string]bool, error) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	keys := make(map[string]bool)
	for len(bytes.TrimSpace(rest)) > 0 {
		key, _, options, left, err := ssh.ParseAuthorizedKey(rest)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if len(options) > 0 {
			return nil, fmt.Errorf("%s: options of keys are not supported", file)
		}
		keys[string(key.Marshal())] = true
		rest = left
	}
	return keys, nil
}

// serve serves one connection, which SSH does not know to be a WebSocket.
func serve(c net.Conn, config *ssh.ServerConfig) {
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	for channel := range channels {
		if channel.ChannelType() != "session" {
			channel.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		ch, requests, err := channel.Accept()
		if err != nil {
			return
		}
		go session(ch, requests, conn.User())
	}
}

// session runs the command that is asked for: RFC 4254, 6.5.
func session(ch ssh.Channel, requests <-chan *ssh.Request, user string) {
	defer ch.Close()
	for r := range requests {
		var exec struct{ Command string }
		ok := r.Type == "exec" && ssh.Unmarshal(r.Payload, &exec) == nil
		r.Reply(ok, nil)
		if !ok {
			continue
		}
		go ssh.DiscardRequests(requests)
		status := command(ch, exec.Command, user)
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		return
	}
}

func command(ch ssh.Channel, command, user string) (status uint32) {
	switch command {
	case "whoami":
		fmt.Fprintln(ch, user)
	case "cat":
		io.Copy(ch, ch)
	default:
		if _, err := fmt.Sscanf(command, "exit %d", &status); err != nil {
			fmt.Fprintf(ch.Stderr(), "%s: no such command\n", command)
			status = 127
		}
	}
	return status
}
