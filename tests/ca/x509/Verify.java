// Validates certificate paths with the Java platform's own PKIX code.
// Argument: an index file; each line names DER files from the end entity to the trust anchor, which is last.
// Prints "FAILED <line>: <why>" for each path that is refused, and "checked <n>" at the end.
import java.io.FileInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertPathValidator;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

public class Verify {
  public static void main(String[] arguments) throws Exception {
    CertificateFactory factory = CertificateFactory.getInstance("X.509");
    Path index = Path.of(arguments[0]);
    int checked = 0;
    for (String line : Files.readAllLines(index)) {
      List<X509Certificate> path = new ArrayList<>();
      for (String file : line.trim().split(" ")) {
        try (FileInputStream stream = new FileInputStream(index.resolveSibling(file).toFile())) {
          path.add((X509Certificate) factory.generateCertificate(stream));
        }
      }
      X509Certificate anchor = path.remove(path.size() - 1);
      PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(anchor, null)));
      parameters.setRevocationEnabled(false);
      try {
        CertPathValidator.getInstance("PKIX").validate(factory.generateCertPath(path), parameters);
        checked++;
      } catch (Exception refusal) {
        System.out.println("FAILED " + line + ": " + refusal);
      }
    }
    System.out.println("checked " + checked);
  }
}
