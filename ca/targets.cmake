phonepki_library(ca SOURCES issuers.cc internal_cas.cc door_credentials.cc DEPS base db ca_x509 ca_keystore)
phonepki_library(ca_service SOURCES internal_ca_service.cc DEPS ca rpc phonepki_proto)
