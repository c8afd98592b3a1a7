package walve_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// TestHugeCertificate: a handshake whose flight is longer than what a server
// writes behind at once.
func TestHugeCertificate(t *testing.T) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	for i := range 3000 {
		tmpl.DNSNames = append(tmpl.DNSNames, fmt.Sprintf("host-%d.example.org.local", i))
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	shake := func(addr string) error {
		c, err := (&net.Dialer{Timeout: 15 * time.Second}).Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(15 * time.Second))
		begun := time.Now()
		err = tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake()
		t.Log(len(der), time.Since(begun), err)
		return err
	}
	plain, _ := tls.Listen("tcp", "127.0.0.1:0", cfg)
	defer plain.Close()
	go func() {
		c, err := plain.Accept()
		if err == nil {
			c.(*tls.Conn).Handshake()
		}
	}()
	if err := shake(plain.Addr().String()); err != nil {
		t.Fatal("crypto/tls alone:", err)
	}
	ln := &walve.Listener{TLSConfig: cfg}
	if err := ln.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := shake(ln.Addr().String()); err != nil {
		t.Error("walve:", err)
	}
}
