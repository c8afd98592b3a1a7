package examples_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/bodokaiser/walve"
	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// gRPC behind a path of an HTTP server. The grpc folder has the whole program.
func Example_grpc() {
	var ln walve.Listener // an http.Handler and a net.Listener
	mux := http.NewServeMux()
	mux.Handle("/grpc", &ln)
	httpServer := httptest.NewServer(mux)
	defer httpServer.Close()

	grpcServer := grpc.NewServer()
	healthpb.RegisterHealthServer(grpcServer, health.NewServer())
	go grpcServer.Serve(&ln)
	defer grpcServer.Stop()

	d := &walve.Dialer{URL: httpServer.URL + "/grpc"} // or wss://host/grpc
	cc, err := grpc.NewClient("passthrough:///host",
		grpc.WithTransportCredentials(insecure.NewCredentials()), // with wss, TLS is the Dialer's
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", addr)
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	reply, err := healthpb.NewHealthClient(cc).Check(context.Background(), &healthpb.HealthCheckRequest{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.GetStatus())
	// Output: SERVING
}

// SSH to a server that is reached by WebSocket.
func Example_ssh() {
	ln, err := walve.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	hostKey := serveSSH(ln)

	conn, err := walve.Dial(context.Background(), "ws://"+ln.Addr().String()+"/ssh") // or wss://bastion/ssh
	if err != nil {
		log.Fatal(err)
	}
	sc, chans, reqs, err := ssh.NewClientConn(conn, "bastion:22", &ssh.ClientConfig{
		User:            "gopher",
		HostKeyCallback: ssh.FixedHostKey(hostKey),
	})
	if err != nil {
		log.Fatal(err)
	}
	client := ssh.NewClient(sc, chans, reqs)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		log.Fatal(err)
	}
	out, err := session.Output("whoami")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(out))
	// Output: gopher
}

// serveSSH serves SSH on ln: every command is answered with the user's name.
func serveSSH(ln net.Listener) (hostKey ssh.PublicKey) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		log.Fatal(err)
	}
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(signer)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go serveSSHConn(conn, config)
		}
	}()
	return signer.PublicKey()
}

func serveSSHConn(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	sc, chans, reqs, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(reqs)
	for newChannel := range chans {
		channel, requests, err := newChannel.Accept()
		if err != nil {
			return
		}
		for req := range requests {
			if req.WantReply {
				req.Reply(req.Type == "exec", nil)
			}
			if req.Type == "exec" {
				fmt.Fprint(channel, sc.User())
				channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
				channel.Close()
			}
		}
	}
}
